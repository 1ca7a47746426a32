"""Finished pieces of work, kept by what they depend on, so that a killed stage goes on.

A piece is a folder `.work/<digest>/`. DVC deletes a stage's outputs when it starts, so pieces live
outside of them and are copied into the outputs at the end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tl1bench import files
from tl1bench.errors import Tl1benchError

WORK = Path(".work")
_KEPT_SECONDS = 30 * 24 * 3600


def piece(digest: str) -> Path:
    """Return the folder of the piece of work with this digest."""
    return WORK / digest[:2] / digest


def assemble(
    target: Path, pieces: Sequence[tuple[str, str]], reasons: Mapping[str, str] | None = None
) -> None:
    """Copy pieces into a fresh `target` in one step.

    Parameters
    ----------
    target
        A folder.
    pieces
        (name below `target`, digest); those that share a name are laid over each other.
    reasons
        Name below `target` → why there is nothing else beside it.
    """
    with files.atomic_path(target) as draft:
        draft.mkdir()
        for name, digest in pieces:
            shutil.copytree(piece(digest), draft / name, dirs_exist_ok=True)
        for name, reason in (reasons or {}).items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            files.write_text(draft / name, f"{reason}\n")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of one cell: a killed pipeline may have left its child running.

    Raises
    ------
    Tl1benchError
        Another process works on the cell.
    """
    folder = WORK / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise Tl1benchError(
            f"Another process is working on {name}: wait for it or stop it, then run again."
        ) from error


def sweep() -> None:
    """Delete pieces that nothing has used for 30 days."""
    for folder in WORK.glob("??/*"):
        if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
