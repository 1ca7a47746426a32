"""CIFAR-10: 50,000 + 10,000 colour photographs, 3 × 32 × 32 bytes.

A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009). The official files
are pickles: they are checked against their official md5, read once, and kept as IDX.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from tl1bench.datasets import _idx, _pickles
from tl1bench.datasets._recipe import (
    Piece,
    Progress,
    Recipe,
    Request,
    Source,
    Unavailable,
    idx_digests,
    verify,
)
from tl1bench.datasets._sources import (
    content_of,
    download,
    mirror_of,
    pick,
    piece_of,
    torchvision_dataset,
    unpack,
)

_FOLDER = "cifar-10-batches-py"
_ARCHIVES = (f"{_FOLDER}.tar.xz", "cifar-10-python.tar.gz")
_BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def _convert(batches: Mapping[str, Piece], request: Request) -> Mapping[str, Piece]:
    """Verify the official batches and return them as the wanted IDX files."""
    verify(batches, _BATCHES)
    parts = [_pickles.arrays(io.BytesIO(batches[name].content)) for name in _BATCHES]
    images = [part[b"data"].reshape(-1, 3, 32, 32) for part in parts]
    labels = [np.asarray(part[b"labels"], dtype=np.uint8) for part in parts]
    arrays = (np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])
    return {
        name: Piece(_idx.serialise(array), f"{name} (from the official batches)")
        for name, array in zip(request.files, arrays, strict=True)
    }


def _unpack(packed: bytes, origin: str, progress: Progress) -> dict[str, Piece]:
    """Read the batches out of a packed tar archive, as far as a damaged one goes."""
    content = unpack(packed, origin)
    found = dict.fromkeys(_BATCHES, b"")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                folder, _, batch = member.name.rpartition("/")
                plain = member.isfile() and not member.issparse() and member.size < len(content)
                if folder == _FOLDER and batch in found and plain:
                    file = archive.extractfile(member)
                    found[batch] = file.read() if file else b""
                    done = sum(map(len, found.values()))
                    progress(f"unpacking {Path(origin).name}", done, None)
    except (tarfile.TarError, EOFError, ValueError, OverflowError):
        pass  # What is missing shows in the digests, which name the batch and both values.
    return {name: Piece(part, f"{origin}:{name}") for name, part in found.items()}


@final
@dataclass(frozen=True)
class _Mirror(Source):
    """A folder we stored, or the official batches, as files or in an archive."""

    title: ClassVar[str] = "mirror folder"
    chosen_by_user: ClassVar[bool] = True

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Read the files from the folder or the archive."""
        mirror = mirror_of(request)
        if (mirror / "cifar10").is_dir():
            return pick([mirror / "cifar10"], list(request.files))
        if (mirror / _FOLDER).is_dir():
            paths = {name: mirror / _FOLDER / name for name in _BATCHES}
            if missing := [str(path) for path in paths.values() if not path.is_file()]:
                raise Unavailable(f"no {missing[0]}")
            return _convert({name: piece_of(path) for name, path in paths.items()}, request)
        for archive in (mirror / name for name in _ARCHIVES):
            if archive.is_file():
                packed = content_of(archive)
                return _convert(_unpack(packed, str(archive), request.progress), request)
        raise Unavailable(f"no {_FOLDER}, {' or '.join(_ARCHIVES)} in {mirror}")


@final
@dataclass(frozen=True)
class _Web(Source):
    """The official archive."""

    title: ClassVar[str] = "official web site"

    def get(self, request: Request) -> Mapping[str, Piece]:
        """Download the archive and read the batches."""
        url = str(torchvision_dataset("CIFAR10").url)
        try:
            content = download(url, request.progress)
        except OSError as error:
            raise Unavailable(f"{url}: {error}") from None
        return _convert(_unpack(content, url, request.progress), request)


RECIPE = Recipe(
    files=idx_digests(
        train=(
            "1086b65fb2d8719d99846dc8bc5d5a52141422760ff01eb1e06619041c1670f9",
            "1a4c5fb4e1cab2caa8eee134c093de84d620899e907756e71736fb7b0d4ab554",
        ),
        test=(
            "d4d62aa9f6b816a3be65053ddc66fdd27c1350e10d25345000fec0d9e2f9e2dd",
            "987e01129ceec0098f1e9d9404cff9fa82ad3d15383a61e8ec60ff20ffe6db40",
        ),
        rank=4,
    ),
    scale=1 / 255,
    labels=(
        "airplane", "automobile", "bird", "cat", "deer",
        "dog", "frog", "horse", "ship", "truck",
    ),
    sources=(_Mirror(), _Web()),
    mend=f"reach the web, or give a mirror folder with {' or '.join(_ARCHIVES)}",
)  # fmt: skip
