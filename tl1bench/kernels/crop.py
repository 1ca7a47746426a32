"""Images picked out of a set, moved and mirrored, in one pass in C.

In torch it takes a gather, a border, a second gather, and two passes to make floats of bytes: with
a small network that is a third of an iteration. Its torch twin is `training.augmentation`'s.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.memory import plain


class _Images(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_void_p), ("count", ctypes.c_longlong), ("channels", ctypes.c_longlong),
        ("height", ctypes.c_longlong), ("width", ctypes.c_longlong),
    )  # fmt: skip


class _Drawn(ctypes.Structure):
    _fields_ = (
        ("picked", ctypes.c_void_p), ("down", ctypes.c_void_p), ("right", ctypes.c_void_p),
        ("mirrored", ctypes.c_void_p), ("count", ctypes.c_longlong), ("reach", ctypes.c_longlong),
    )  # fmt: skip


_CROP = (
    ctypes.c_void_p, ctypes.POINTER(_Images), ctypes.POINTER(_Drawn), ctypes.c_float,
    ctypes.POINTER(ctypes.c_longlong),
)  # fmt: skip


def crop(images: Tensor, picked: Tensor, drawn: Tensor, reach: int, scale: float) -> Tensor | None:
    """Return images of a set, each cut out of its picture with a border of `reach` zeros around it.

    Parameters
    ----------
    images
        (image, channels, height, width) bytes.
    picked
        (n,) int64, which ones.
    drawn
        (3, n) int64: how many rows down and columns to the right an image begins in its picture
        with the border, in [0, 2·reach], and whether it is mirrored from left to right.
    reach
        Pixels.
    scale
        What pixels are multiplied by.

    Returns
    -------
    Tensor or None
        (n, channels, height, width) float32; None where C cannot go or something is out of range.
    """
    if not (plain(images, dtype=torch.uint8) and plain(picked, drawn, dtype=torch.int64)):
        return None
    count = len(picked)
    if images.dim() != 4 or reach >= min(images.shape[2:]) or drawn.shape != (3, count):
        return None
    if not images.is_contiguous() or not picked.is_contiguous() or drawn.stride(1) != 1:
        return None
    kernel = build.function("crop.c", "crop", _CROP)
    if kernel is None:
        return None
    out = torch.empty(count, *images.shape[1:], dtype=torch.float32)
    line, step = drawn.data_ptr(), drawn.stride(0) * drawn.itemsize
    done = ctypes.c_longlong()
    kernel(
        out.data_ptr(),
        _Images(images.data_ptr(), *images.shape),
        _Drawn(picked.data_ptr(), line, line + step, line + 2 * step, count, reach),
        scale,
        done,
    )
    return out if done.value else None
