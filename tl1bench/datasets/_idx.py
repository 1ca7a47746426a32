"""IDX, the format of MNIST: two zero bytes, type, rank, big-endian sizes, then the values."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_UNSIGNED_BYTE = 0x08


def parse(content: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, as a view of `content`.

    Raises ValueError when the header or the length is not that of such a file.
    """
    flat = np.frombuffer(content, dtype=np.uint8)
    if len(flat) < 4 or flat[:3].tolist() != [0, 0, _UNSIGNED_BYTE]:
        raise ValueError("not an IDX file of unsigned bytes")
    start = 4 + 4 * int(flat[3])
    if len(flat) < start:
        raise ValueError("the IDX header is cut short")
    shape = struct.unpack(f">{flat[3]}I", flat[4:start].tobytes())
    return flat[start:].reshape(shape)


def serialise(array: NDArray[np.uint8]) -> bytes:
    """Return `array` as the bytes of an IDX file."""
    if array.dtype != np.uint8:
        raise ValueError(f"IDX files here hold unsigned bytes, not {array.dtype}")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    return header + array.tobytes()
