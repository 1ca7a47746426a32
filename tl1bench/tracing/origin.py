"""Which line of a network's own code something comes from, in words."""

from __future__ import annotations

import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import fx

# Code that only runs a network: torch, Python's own library and this package.
_RUNNERS = tuple(
    str(folder) + "/"
    for folder in (
        Path(torch.__file__).parent,
        Path(__file__).parents[1],
        Path(sysconfig.get_path("stdlib")),
    )
)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def of_error(error: BaseException) -> str:
    """Return ` at net.py:12 (if x.sum() > 0:)`, the last line of a network before an error.

    Empty where the error has passed none, as when torch.export looks at what is finished.
    """
    for raised in _chain(error):
        frames = traceback.extract_tb(raised.__traceback__)
        for frame in reversed(frames):
            if _is_own(frame.filename):
                return _words(frame.filename, frame.lineno or 0)
    return ""


def of_call(node: fx.Node) -> str:
    """Return the line that a traced call was written in, as `of_error` does."""
    frames = [
        (str(found["file"]), int(found["line"]))
        for found in _FRAME.finditer(str(node.meta.get("stack_trace") or ""))
    ]
    own = [frame for frame in frames if _is_own(frame[0])]
    return _words(*own[-1]) if own else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_own(file: str) -> bool:
    # What is installed lies below the standard library, and is somebody's own all the same.
    installed = "/site-packages/" in file and not file.startswith(_RUNNERS[:2])
    return not file.startswith("<") and (installed or not file.startswith(_RUNNERS))


def _words(file: str, line: int) -> str:
    code = linecache.getline(file, line).strip()
    return f" at {Path(file).name}:{line}" + (f" ({code})" if code else "")
