"""Mirror folders and the web: where IDX files lie as they are, or gzipped."""

from __future__ import annotations

import http.client
import lzma
import urllib.request
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from tl1bench import files
from tl1bench.datasets._recipe import (
    Altered,
    Piece,
    Progress,
    Request,
    Source,
    Unavailable,
    verify,
)

CONNECT_TIMEOUT_S = 10.0
MAX_BYTES = 1 << 28
"""Of a file and of what is unpacked from it: the largest here, CIFAR-10's archive, has 186 MB."""
_BLOCK_BYTES = 1 << 20


def unpack(content: bytes, origin: str) -> bytes:
    """Unpack gzip or xz as far as it goes: what a damaged file yields is caught by its digest.

    Parameters
    ----------
    content
        The packed bytes.
    origin
        Where they come from, for messages.

    Returns
    -------
    bytes
        The unpacked ones.

    Raises
    ------
    Altered
        There are more than `MAX_BYTES` of them.
    """
    xz = content.startswith(b"\xfd7zXZ\x00")
    stream: Any = lzma.LZMADecompressor(memlimit=MAX_BYTES) if xz else zlib.decompressobj(31)
    unpacked = bytearray()
    try:
        for start in range(0, len(content), _BLOCK_BYTES):
            block = content[start : start + _BLOCK_BYTES]
            while not stream.eof and (block or (xz and not stream.needs_input)):
                unpacked += stream.decompress(block, _BLOCK_BYTES)
                block = b"" if xz else stream.unconsumed_tail
                if len(unpacked) > MAX_BYTES:
                    raise Altered(f"{origin} unpacks to more than {MAX_BYTES:,} bytes")
    except (zlib.error, lzma.LZMAError, EOFError):
        pass
    return bytes(unpacked)


def content_of(path: Path) -> bytes:
    """Return the bytes of a file; `Altered` where it is larger than any data set's, or none."""
    try:
        return files.read_bytes(path, MAX_BYTES)
    except ValueError as error:
        raise Altered(f"{path} {error}") from None


def piece_of(path: Path) -> Piece:
    """Read a file, unpacked when its name ends in .gz."""
    content = content_of(path)
    return Piece(unpack(content, str(path)) if path.suffix == ".gz" else content, str(path))


def mirror_of(request: Request) -> Path:
    """Return the mirror folder, or raise `Unavailable` when there is none."""
    if request.mirror is None:
        raise Unavailable("none given (--mirror DIR or TL1BENCH_MIRROR)")
    if not request.mirror.is_dir():
        raise Unavailable(f"{request.mirror} is not a folder")
    return request.mirror


def pick(folders: Sequence[Path], names: Sequence[str]) -> dict[str, Piece]:
    """Read every name, plain or gzipped, from the first folder that has it."""
    pieces = {}
    for name in names:
        candidates = [folder / f"{name}{end}" for folder in folders for end in ("", ".gz")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise Unavailable(f"no {name}[.gz] in {' or '.join(map(str, folders))}")
        pieces[name] = piece_of(found)
    return pieces


def download(url: str, progress: Progress) -> bytes:
    """Return what `url` serves; raises OSError when it does not, or stops half-way."""
    content = bytearray()
    try:
        # The address stands in our recipe, never in a file.
        with urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S) as reply:  # nosec B310
            total = int(reply.headers.get("Content-Length") or 0) or None
            while block := reply.read(_BLOCK_BYTES):
                content += block
                if len(content) > MAX_BYTES:
                    raise OSError(f"more than {MAX_BYTES:,} bytes came")
                progress(url.rsplit("/", 1)[-1], len(content), total)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from None
    if total is not None and len(content) < total:
        raise OSError(f"the connection closed after {len(content)} of {total} bytes")
    return bytes(content)


def torchvision_dataset(name: str) -> Any:
    """Return torchvision's class of that name: it knows the official addresses.

    Imported here, on the way to the web, because it takes PyTorch's seconds with it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torchvision import datasets
    except ImportError as error:
        raise Unavailable(f"torchvision, which knows the addresses, fails: {error}") from None
    return getattr(datasets, name)


@final
@dataclass(frozen=True)
class Mirror(Source):
    """IDX files, plain or gzipped, in one of `folders` of the mirror folder."""

    folders: tuple[str, ...]
    title: ClassVar[str] = "mirror folder"
    chosen_by_user: ClassVar[bool] = True

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Read the files from the folder."""
        mirror = mirror_of(request)
        return pick([mirror / folder for folder in self.folders], list(request.files))


@final
@dataclass(frozen=True)
class Web(Source):
    """Gzipped IDX files under the official addresses, which `bases` looks up when called."""

    bases: Callable[[], Sequence[str]]
    title: ClassVar[str] = "official web site"

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Download the files from the first address that serves all of them unaltered."""
        reasons = []
        for base in self.bases():
            try:
                pieces = {}
                for name in request.files:
                    url = f"{base}{name}.gz"
                    pieces[name] = Piece(unpack(download(url, request.progress), url), url)
                verify(pieces, request.files)
            except (OSError, Altered) as error:
                reasons.append(f"{base}: {error}")
            else:
                return pieces
        raise Unavailable(", ".join(reasons))
