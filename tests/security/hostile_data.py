"""Hostile data sets and settings by what they try: .npz, CSV, archives, params.yaml."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

Make = Callable[[Path], Path]
KEYS = ("x_train", "y_train", "x_test", "y_test")


def arrays() -> dict[str, np.ndarray]:
    y = np.tile(np.arange(3), 4)
    return dict(zip(KEYS, (np.eye(12, 4), y, np.eye(12, 4), y), strict=True))


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npz(parts: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", kind) as target:
        for name, part in parts.items():
            target.writestr(f"{name}.npy", part)
    return content.getvalue()


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    return (
        b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2, "little") + text.encode() + data
    )


def written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def pipe(name: str) -> Make:
    def make(folder: Path) -> Path:
        os.mkfifo(folder / name)
        return folder / name

    return make


def with_x(part: bytes, kind: int = zipfile.ZIP_STORED) -> Make:
    """Return what writes a data set whose x_train is `part`."""
    parts = {name: npy(array) for name, array in arrays().items()} | {"x_train": part}
    return written("bad.npz", npz(parts, kind))


def data_sets() -> dict[str, Make]:
    shape = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    encrypted = bytearray(npz({name: npy(array) for name, array in arrays().items()}))
    for place in (encrypted.find(b"PK\x01\x02") + 8, 6):
        encrypted[place] |= 1
    return {
        "an array of objects": with_x(npy(np.array([{}, 1], dtype=object))),
        "an array of four terabytes": with_x(header(shape % "1099511627776, 1")),
        "an array of negative size": with_x(header(shape % "-2, -2", bytes(16))),
        "an array larger than its bytes": with_x(header(shape % "100, 100", bytes(16))),
        "a header that is code": with_x(header("__import__('os').mkdir('RAN')")),
        "a header without end": with_x(header("(" * 60_000)),
        "a version of nobody's": with_x(header(shape % "1, 1", bytes(4), version=9)),
        "a record": with_x(npy(np.zeros(3, dtype=[("a", "O"), ("b", "f4")]))),
        "numbers without end": with_x(npy(np.full((12, 4), np.inf))),
        "a bomb": with_x(npy(np.zeros((300 << 20,), np.uint8)), zipfile.ZIP_DEFLATED),
        "a password": written("bad.npz", bytes(encrypted)),
        "an array alone": written("bad.npz", npy(np.zeros(3))),
        "no archive": written("bad.npz", b"no archive"),
        "three of four arrays": written("bad.npz", npz({"x_train": npy(np.zeros((2, 2)))})),
        "a pipe": pipe("bad.npz"),
        "bytes": written("bad.csv", bytes(range(256)) * 40),
        "Latin-1": written("bad.csv", "größe,art\n1,ä\n".encode("latin-1")),
        "columns without end": written("bad.csv", b"a," * 2_000_000 + b"a\n"),
        "rows of many lengths": written("bad.csv", b"a,b\n1,2\n1,2,3,4\n"),
        "an open quote": written("bad.csv", b'a,b\n"1,2\n' + b"1,2\n" * 1000),
        "nothing": written("bad.csv", b""),
        "a number without end": written("bad.csv", b"a,b\n" + b"9" * 100_000 + b",0\n1,1\n"),
    }


def settings() -> dict[str, Make]:
    names = [f"a{n}" for n in range(30)]
    aliases = "a0: &a0 [x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in pairwise(names)
    )
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"{new}: &{new} {{<<: [*{old}, *{old}, *{old}]}}\n" for old, new in pairwise(names)
    )
    texts = {
        "a call": "seeds: !!python/object/apply:os.mkdir [RAN]",
        "a class": "seeds: !!python/object/new:type {}",
        "aliases of aliases": aliases,
        "merges of merges": merges,
        "itself": "seeds: &s [*s]",
        "itself as a mapping": "&s {seeds: *s}",
        "lists in lists": "seeds: " + "[" * 20_000,
        "mappings in mappings": "{a: " * 5_000,
        "indents in indents": "".join(" " * n + "a:\n" for n in range(500)),
        "a megabyte": "# " + "x" * (1 << 20),
        "a number without end": "seeds: [" + "9" * 9_000 + "]",
        "a number in sixties": "seeds: [1" + ":59" * 60_000 + "]",
        "a day that is none": "seeds: 2001-99-99",
        "a tag of nobody's": "seeds: !mine x",
        "a key that is a list": "? [a, b]\n: 1",
        "no mapping": "- 1\n- 2",
        "a key of nobody's": "surprise: 1",
        "a path out": "datasets: {blobs: {path: /etc/passwd}}",
        "nothing": "",
        "a null byte": "seeds: [\0]",
    }
    bad = {what: written("bad.yaml", text.encode()) for what, text in texts.items()}
    bad["Latin-1"] = written("bad.yaml", "seeds: ä".encode("latin-1"))
    bad["a pipe"] = pipe("bad.yaml")
    return bad


def _member(name: str, content: bytes = b"x", **values: object) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for key, value in values.items():
            setattr(member, key, value)
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def mirrors() -> dict[str, Make]:
    """Folders to take the official files from."""
    image, archive = "MNIST/train-images-idx3-ubyte", "cifar-10-python.tar.gz"
    batch = "cifar-10-batches-py/data_batch_1"

    def mnist(kind: str, content: bytes, size: int = 0) -> Make:
        def make(folder: Path) -> Path:
            (folder / "MNIST").mkdir()
            for name in (
                "train-images-idx3",
                "train-labels-idx1",
                "t10k-images-idx3",
                "t10k-labels-idx1",
            ):
                (folder / f"MNIST/{name}-ubyte").write_bytes(b"")
            (folder / image).unlink()
            with (folder / f"{image}{kind}").open("wb") as file:
                file.write(content)
                file.truncate(max(size, len(content)))
            return folder

        return make

    def cifar(content: bytes, name: str = archive) -> Make:
        def make(folder: Path) -> Path:
            (folder / name).write_bytes(content)
            return folder

        return make

    pax = _member("x", b"", pax_headers={"comment": "x" * 1000}).replace(b"x", b"\xff")
    bomb = gzip.compress(bytes(300 << 20), 1)
    return {
        "mnist: a bomb": mnist(".gz", bomb),
        "mnist: other bytes": mnist("", b"\0\0\x08\xff" + b"\xff" * 2000),
        "mnist: three gigabytes": mnist("", b"", 3 << 30),
        "mnist: half a gzip": mnist(".gz", gzip.compress(bytes(1000))[:20]),
        "cifar10: a bomb": cifar(bomb),
        "cifar10: a bomb of xz": cifar(
            lzma.compress(bytes(64 << 20), preset=0), "cifar-10-batches-py.tar.xz"
        ),
        "cifar10: no archive": cifar(b"no archive"),
        "cifar10: a member that leads out": cifar(gzip.compress(_member("../../outside"))),
        "cifar10: a link": cifar(
            gzip.compress(_member(batch, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"))
        ),
        "cifar10: a device": cifar(gzip.compress(_member(batch, b"", type=tarfile.CHRTYPE))),
        "cifar10: a pickle that runs": cifar(
            gzip.compress(_member(batch, b"cos\nmkdir\n(S'RAN'\ntR."))
        ),
        "cifar10: odd headers": cifar(gzip.compress(pax)),
    }
