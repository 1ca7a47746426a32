"""Made-up data sets in the forms the official ones are published in."""

from __future__ import annotations

import struct

import numpy as np


def made_up(name: str) -> tuple[np.ndarray, ...]:
    """Train images, train labels, test images, test labels: 10 + 4 examples of the true shape."""
    rng = np.random.default_rng(7)
    shape = (3, 32, 32) if name == "cifar10" else (28, 28)
    arrays = []
    for count in (10, 4):
        arrays.append(rng.integers(0, 256, (count, *shape)).astype(np.uint8))
        arrays.append((np.arange(count) % 10).astype(np.uint8))
    return tuple(arrays)


def python2_pickle(value: object) -> bytes:
    """Pickle as Python 2 did: byte strings for text, NumPy's old names."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: object) -> bytes:
    match value:
        case None:
            return b"N"
        case str():
            return b"T" + struct.pack("<i", len(value)) + value.encode("latin-1")
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case int():
            return b"J" + struct.pack("<i", value)
        case tuple():
            return b"(" + b"".join(map(_python2, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_python2(k) + _python2(v) for k, v in value.items()) + b"u"
        case np.ndarray():
            kind = b"cnumpy\ndtype\n" + _python2((value.dtype.str[1:], 0, 1)) + b"R"
            order = value.dtype.str[0]
            kind += _python2((3, order, None, None, None, -1, -1, 0)) + b"b"
            state = b"(" + _python2(1) + _python2(value.shape) + kind + b"\x89"
            state += _python2(value.tobytes()) + b"tb"
            empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            return empty + _python2((0,)) + _python2("b") + b"tR" + state
    raise TypeError(type(value))


def batches() -> dict[str, bytes]:
    """CIFAR-10's six official files, of two or four examples each."""
    x_train, y_train, x_test, y_test = made_up("cifar10")
    parts = {f"data_batch_{i + 1}": slice(2 * i, 2 * i + 2) for i in range(5)}
    files = {
        name: python2_pickle(
            {"labels": y_train[part].tolist(), "data": x_train[part].reshape(2, -1)}
        )
        for name, part in parts.items()
    }
    files["test_batch"] = python2_pickle({"data": x_test.reshape(4, -1), "labels": y_test.tolist()})
    return files
