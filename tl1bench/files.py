"""Atomic writes: a file or folder is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def read_json(source: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(source).read_text(encoding="utf-8"))


def remove(folder: Path) -> None:
    """Delete a folder and all that is in it; one that is not there is no error."""
    shutil.rmtree(folder, ignore_errors=True)
