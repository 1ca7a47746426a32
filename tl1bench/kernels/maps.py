"""Maps of images as kernels see them, and how a convolution goes over them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class Maps(ctypes.Structure):
    """Sizes of a tensor of images, and its steps; one of features has maps of a pixel."""

    _fields_ = (("size", ctypes.c_long * 4), ("step", ctypes.c_long * 4))

    @classmethod
    def of(cls, t: Tensor) -> Maps:
        """Return those of a tensor (n, channels, height, width) or (n, features)."""
        pixel = (1,) * (4 - t.dim())
        return cls((ctypes.c_long * 4)(*t.shape, *pixel), (ctypes.c_long * 4)(*t.stride(), *pixel))


MAPS = ctypes.POINTER(Maps)


@dataclass(frozen=True)
class Geometry:
    """How a convolution goes over the height and width of its input; pixels outside are 0."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


def neighbours(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return an empty tensor (n, …) whose images are neighbours in memory, pixel by pixel."""
    n, *rest = shape
    return torch.empty(*rest, n, dtype=dtype).movedim(-1, 0)


def result(x: Tensor, weight: Tensor, pixels: Sequence[int], *, side_by_side: bool) -> Tensor:
    """Return an empty tensor for what a layer makes of `x`.

    Parameters
    ----------
    x, weight
        Its input and weight.
    pixels
        Height and width of the result.
    side_by_side
        Whether images are neighbours in it.

    Returns
    -------
    Tensor
        (n, out, height, width), channels last where x or the weight is so, or (n, out).
    """
    shape = (len(x), len(weight), *pixels[: x.dim() - 2])
    if side_by_side:
        return neighbours(shape)
    y = torch.empty(shape)
    if _channels_last(x) or _channels_last(weight):
        y = torch.empty_like(y, memory_format=torch.channels_last)
    return y


def _channels_last(t: Tensor) -> bool:
    # Of one channel both formats are right: which is meant stands in its stride.
    return t.dim() == 4 and t.stride(1) == 1 and t.is_contiguous(memory_format=torch.channels_last)


def fitting(shape: Sequence[int], weight: Tensor) -> tuple[tuple[int, ...], ...]:
    """Return what a way is made for: the sizes of input and weight, and the weight's strides."""
    return tuple(shape), tuple(weight.shape), weight.stride()
