"""Atomic writes: a file or folder is there whole or not at all; and reads that have a limit."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `target` to write to; it replaces `target` on success.

    Works for a file and for a folder (make the folder at the yielded path). On an error nothing
    stays behind and the old `target` is untouched.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Part of the name is enough: with all of it a long one would be too long for a folder.
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    try:
        draft = scratch / target.name
        yield draft
        if draft.is_dir() and target.is_dir():
            # A folder cannot be replaced in one call: the old one steps aside first.
            os.replace(target, scratch / "old")
        os.replace(draft, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_path(target) as draft:
        draft.write_bytes(content)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 `text` to `target` atomically."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON; NaN is refused because JSON has none."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


@contextmanager
def opened(source: str | Path, most: int) -> Iterator[BinaryIO]:
    """Yield an ordinary file of at most so many bytes, to be read.

    Raises
    ------
    ValueError
        It is larger, or a device, a pipe or a folder: reading it might never end.
    OSError
        It cannot be read.
    """
    with open(source, "rb", opener=_without_waiting) as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("is no ordinary file")
        if found.st_size > most:
            raise ValueError(f"has {found.st_size:,} bytes, more than the {most:,} that are read")
        yield stream


def read_bytes(source: str | Path, most: int) -> bytes:
    """Return the content of an ordinary file of at most so many bytes (errors: see `opened`)."""
    with opened(source, most) as stream:
        # Not `read(most)`: Python would take that much memory first.
        return stream.read()


def _without_waiting(path: str, flags: int) -> int:
    # A pipe that nobody writes to would be waited for when it is opened.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def parse_json(text: str, most: int, values: int = 4_000_000) -> Any:
    """Return what JSON from elsewhere holds.

    Parameters
    ----------
    text
        The JSON.
    most
        How many characters it may have.
    values
        How many values: a short one takes many times its length in memory.

    Returns
    -------
    object
        Dicts, lists, texts and numbers.

    Raises
    ------
    ValueError
        It is larger, nested too deeply, or no JSON.
    """
    count = text.count(",") + text.count("[") + text.count("{")
    if len(text) > most or count > values:
        raise ValueError(f"a description of {len(text):,} characters and {count:,} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("a description nested without end") from None


def read_json(source: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(source).read_text(encoding="utf-8"))


def remove(folder: Path) -> None:
    """Delete a folder and all that is in it; one that is not there is no error."""
    shutil.rmtree(folder, ignore_errors=True)
