"""Reading .npz files of whatever origin: plain arrays, none of them larger than the file holds."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence

import numpy as np

from tl1bench.datasets._dataset import Array

MAX_BYTES = 4 << 30
"""Of a file, and of its arrays together when they are unpacked."""
SMALL_BYTES, MAX_RATIO = 1 << 28, 100
"""From so many unpacked bytes on, they may be at most so many times what they take in the file."""


def read_npz(content: bytes, names: Sequence[str] | None = None) -> dict[str, Array]:
    """Return the arrays in a .npz file.

    Parameters
    ----------
    content
        The file's bytes.
    names
        Those that are wanted; None for all.

    Returns
    -------
    dict
        An array a name, without those that are not there.

    Raises
    ------
    ValueError
        It is no such file, an array holds objects or is cut short, or all of them would take more
        memory than such a file may.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {p.filename.removesuffix(".npy"): p for p in archive.infolist()}
            if names is not None:
                parts = {name: parts[name] for name in names if name in parts}
            size = sum(part.file_size for part in parts.values())
            if size > MAX_BYTES or size > max(SMALL_BYTES, MAX_RATIO * len(content)):
                raise ValueError(
                    f"its arrays have {size:,} bytes, those of the file {len(content):,}"
                )
            return {name: _array(name, part, archive) for name, part in parts.items()}
    except Exception as error:  # whatever a damaged archive or header raises
        raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


def _array(name: str, part: zipfile.ZipInfo, archive: zipfile.ZipFile) -> Array:
    with archive.open(part) as stream:
        content = stream.read(part.file_size + 1)
    return read_npy(name, content)


def read_npy(name: str, content: bytes) -> Array:
    """Return one array; ValueError where its header says something else than its bytes."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"{name} is an array of version {version}")
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = header(stream)
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError(f"{name} holds objects")
    found = len(content) - stream.tell()
    if math.prod(shape) * dtype.itemsize != found:
        raise ValueError(f"{name} says {shape} {dtype} and has {found} bytes")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy()
