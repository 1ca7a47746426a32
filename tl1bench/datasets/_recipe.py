"""What a data set's own file states: its files, their digests and where they can be had."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

Progress = Callable[[str, int, int | None], None]
"""Called with what is being loaded, the bytes so far and the bytes in all (None: unknown)."""

_ALGORITHMS = {32: "md5", 64: "sha256"}


class Unavailable(Exception):
    """A source cannot serve, the next is asked; the message is the reason in short."""


class Altered(Exception):
    """A source served other bytes than the official ones; the message names both digests."""


@dataclass(frozen=True)
class Piece:
    """The bytes of one stored file, and the file or address they came from."""

    content: bytes
    origin: str


@dataclass(frozen=True)
class Request:
    """What a source is told: the files wanted (name → digest), the mirror, where to report."""

    files: Mapping[str, str]
    mirror: Path | None
    progress: Progress


class Source(ABC):
    """One place that may hold a data set."""

    chosen_by_user: ClassVar[bool] = False
    """Altered bytes from a place the user named are refused at once, not passed over."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The source's name in messages."""

    @abstractmethod
    def get(self, request: Request) -> Mapping[str, Piece]:
        """Return every wanted file; raise `Unavailable` or `Altered` with the reason."""


@dataclass(frozen=True)
class Recipe:
    """A data set: four IDX files in this order, train images, train labels, test images, labels.

    `files` maps each file's name to the md5 or sha256 of its contents, `scale` turns stored values
    into network inputs, `labels` names the classes, `sources` are asked one after the other.
    """

    files: Mapping[str, str]
    scale: float
    labels: tuple[str, ...]
    sources: tuple[Source, ...]
    mend: str


def idx_digests(train: tuple[str, str], test: tuple[str, str], rank: int = 3) -> dict[str, str]:
    """Name the four IDX files as MNIST does; each pair is (images' digest, labels' digest)."""
    return {
        f"{part}-{kind}-idx{dims}-ubyte": digest
        for part, digests in (("train", train), ("t10k", test))
        for kind, dims, digest in (("images", rank, digests[0]), ("labels", 1, digests[1]))
    }


def digest_like(expected: str, content: bytes | memoryview) -> str:
    """Digest `content` by the algorithm whose digests are as long as `expected`."""
    algorithm = _ALGORITHMS[len(expected)]
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def difference(expected: str, content: bytes | memoryview) -> str | None:
    """Say how the digest of `content` differs from `expected`; None when it does not."""
    found = digest_like(expected, content)
    if found == expected:
        return None
    return f"expected {_ALGORITHMS[len(expected)]} {expected}, found {found}"


def verify(pieces: Mapping[str, Piece], digests: Mapping[str, str]) -> None:
    """Raise `Altered` for the first piece whose digest is not the one stated."""
    for name, expected in digests.items():
        if wrong := difference(expected, pieces[name].content):
            raise Altered(f"{pieces[name].origin} is altered or cut short: {wrong}")
