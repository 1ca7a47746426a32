"""Exported programs from disk: every part is looked at before torch opens the archive.

`torch.export.load` unpickles what it finds, evaluates strings as expressions and writes code around
names, so that a crafted `.pt2` runs its own while it is read. Here a file is data: a part that is
more is refused.

* The archive is an ordinary one: it holds the parts that `torch.export.save` writes and no others,
  as they are (not compressed), and torch reads a copy of what was looked at, not the file itself.
* What is pickled passes torch's weights-only unpickler, and while torch loads, so does everything
  else (`TORCH_FORCE_WEIGHTS_ONLY_LOAD`): its fallback to the unsafe one cannot happen.
* What the graph says passes `tracing.description`.
"""

from __future__ import annotations

import io
import logging
import os
import pickle  # nosec B403
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from tl1bench.errors import CompactionError
from tl1bench.tracing import description

MAX_BYTES = 8 << 30  # of the whole file
MAX_PARTS = 100_000
_MEND = "make a clean file by torch.export.save(torch.export.export(model.eval(), (x,)), path)"
_CODE = (".so", ".dll", ".dylib", ".cubin", ".cpp", ".py", ".o")
_PART = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version"
    r"|\.storage_alignment|models/model\.json|extra/[^/]+|data/sample_inputs/model\.pt"
    r"|data/(weights|constants)/((weight|tensor)_\d+|model(_weights_config|_constants_config)\.json"
    r"|model\.pt))"
    # What torch wrote before 2.8.
    r"|version|serialized_exported_program\.json|extra_files/[^/]+"
    r"|serialized_(state_dict|constants|example_inputs)\.pt"
)


def load_program(path: str | Path) -> torch.export.ExportedProgram:
    """Return the exported program in a .pt2 file of whatever origin.

    Raises
    ------
    CompactionError
        The file is missing or no such archive, or a part of it is refused; the message says which.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise CompactionError(f"{path} is no exported program: no such file, or another format.")
    try:
        copied = _checked_copy(path)
        with _weights_only(), _silent():
            program = torch.export.load(copied)
    except CompactionError as error:
        raise CompactionError(f"{path}: {error} is refused; {_MEND}.") from error
    except Exception as error:  # damaged in whatever way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CompactionError(f"{path} is no exported program ({reason[:200]}).") from error
    return program


def _checked_copy(path: Path) -> io.BytesIO:
    """Return an archive of the parts that were looked at, and of nothing else.

    Another reader may find other parts in a crafted file; in the copy there are none.
    """
    copied = io.BytesIO()
    tensors: dict[str, Any] = {}
    if path.stat().st_size > MAX_BYTES:
        raise CompactionError(f"an archive of {path.stat().st_size / 2**30:.0f} GiB")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copied, "w") as target:
        _check_names(archive, path.stat().st_size)
        for part in archive.infolist():
            if part.is_dir():
                continue
            content = archive.read(part)
            found = _check_part(part.filename, content)
            if isinstance(found, dict) and isinstance(found.get("config"), dict):
                tensors |= found["config"]
            # Pages of their own, as torch maps tensors from them.
            target.writestr(zipfile.ZipInfo(part.filename), content)
    description.check_sizes(tensors, path.stat().st_size)
    copied.seek(0)
    return copied


@contextmanager
def _silent() -> Iterator[None]:
    """Keep torch's own report of a file that it cannot read off the screen: ours is enough."""
    logger = logging.getLogger("torch.export")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _weights_only() -> Iterator[None]:
    """Make torch.load refuse whatever the weights-only unpickler does, however it is called."""
    names = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ[names[0]] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_names(archive: zipfile.ZipFile, size: int) -> None:
    parts = archive.infolist()
    if len(parts) > MAX_PARTS or len({p.filename for p in parts}) < len(parts):
        raise CompactionError("an archive with too many parts, or two of one name,")
    for part in parts:
        name = PurePosixPath(part.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in part.filename:
            raise CompactionError(f"the part {part.filename!r}, which leads out of the archive,")
        if name.suffix in _CODE or "aotinductor" in name.parts:
            raise CompactionError(f"the part {part.filename!r}, which is code,")
        if not part.is_dir() and not _PART.fullmatch(part.filename):
            raise CompactionError(
                f"the part {part.filename[:80]!r}, which no exported network has,"
            )
        if part.compress_type != zipfile.ZIP_STORED:
            raise CompactionError(f"the compressed part {part.filename!r}")
    if sum(part.file_size for part in parts) > size:
        raise CompactionError("an archive whose parts are larger than the file")


def _check_part(name: str, content: bytes) -> Any:
    """Look at one part; return what a JSON file holds."""
    if name.endswith(".json"):
        return description.read(content, name)
    if content and (name.endswith(".pt") or content.startswith(b"PK")):
        try:
            torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise CompactionError(
                f"the pickled part {name!r}, which holds more than tensors and numbers,"
            ) from error
    return None
