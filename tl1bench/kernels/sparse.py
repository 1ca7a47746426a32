"""Convolutions and linear layers that multiply only the weights that may differ from 0, in C.

A linear layer is a convolution of one pixel. torch's own dense layers are the twin: they give the
same up to the order of summation, and serve wherever C cannot go or does not pay. `convolved` has
it with gradients.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.maps import MAPS, Geometry, Maps, fitting, result
from tl1bench.kernels.memory import flat_view

_LANES = 16  # numbers in the longest vector
_CACHED = 32  # of so many a channel of a usual map stays in the fastest cache
# From these shares of non-zero weights on, for each thread that torch may use, dense is as fast;
# dense convolutions pay for whole vectors of channels, and have other ways for the first few.
_OF_MAPS, _OF_A_PIXEL = 0.35, 0.15
_FEW = 4
# Multiplications that dense layers do in the time that calling C takes.
WORTH = 1 << 20


class _Layer(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_long), ("count", ctypes.c_long),
        *((name, ctypes.c_void_p) for name in ("first", "place", "offset", "row", "by_pixel")),
        ("padding", ctypes.c_long * 2), ("stride", ctypes.c_long * 2), ("handful", ctypes.c_long),
    )  # fmt: skip


class Pattern:
    """The weights of a layer that may differ from 0, for inputs of one size; `of` makes it.

    Parameters
    ----------
    mask, weight, shape, geometry, side_by_side
        As for `of`, once it is known that they fit together.
    """

    def __init__(
        self,
        mask: Tensor,
        weight: Tensor,
        shape: Sequence[int],
        geometry: Geometry,
        *,
        side_by_side: bool = False,
    ) -> None:
        self.geometry, self._side_by_side = geometry, side_by_side
        self.fits = fitting(shape, weight)
        g = geometry
        pixel = (1,) * (4 - weight.dim())
        out, each, tall, wide = *weight.shape, *pixel
        n, channels, *size = *shape, *pixel
        height, width = (s + 2 * p for s, p in zip(size, g.padding, strict=True))
        o, c, i, j = mask.reshape(out, each, tall, wide).nonzero().unbind(1)
        place = torch.stack((o, c, i, j), 1) @ torch.tensor((*weight.stride(), *pixel))
        channel = o.div(out // g.groups, rounding_mode="floor") * each + c
        offset = (channel * height + i * g.dilation[0]) * width + j * g.dilation[1]
        first, by_pixel = torch.searchsorted(o, torch.arange(out + 1)), offset.argsort(stable=True)
        self._kept = tuple(t.contiguous() for t in (first, place, offset, o, by_pixel))
        self.mask, self.pixels = mask, (
            (height - g.dilation[0] * (tall - 1) - 1) // g.stride[0] + 1,
            (width - g.dilation[1] * (wide - 1) - 1) // g.stride[1] + 1,
        )  # fmt: skip
        area = self.pixels[0] * self.pixels[1]
        handful = whole(min(n, 4 * _CACHED if area == 1 else _CACHED))
        self._room = handful * (2 * channels * height * width + out * area)
        self._layer = _Layer(
            out, len(o), *(t.data_ptr() for t in self._kept),
            (ctypes.c_long * 2)(*g.padding), (ctypes.c_long * 2)(*g.stride), handful,
        )  # fmt: skip

    @classmethod
    def of(
        cls,
        mask: Tensor,
        weight: Tensor,
        shape: Sequence[int],
        geometry: Geometry | None = None,
        *,
        side_by_side: bool = False,
    ) -> Pattern | None:
        """Return the pattern of a layer, or None where dense is as fast or C cannot go.

        Parameters
        ----------
        mask
            (out, in / groups, kernel height, kernel width), or (out, in) of a linear layer: 0 where
            the weight is and stays 0.
        weight
            Of that shape; its place in memory is looked at.
        shape
            (n, in, height, width) of the input, or (n, in).
        geometry
            Of the convolution.
        side_by_side
            Whether images are neighbours in the result.

        Returns
        -------
        Pattern or None
            Whatever does not fit together has none, and is torch's to refuse.
        """
        g = geometry or Geometry()
        if mask.shape != weight.shape or shape[1] != weight.shape[1] * g.groups:
            return None
        if flat_view(weight) is None or _forward() is None:
            return None
        share = torch.get_num_threads() * int(mask.count_nonzero()) / max(1, padded(weight, g))
        if shape[0] < _LANES or share >= (_OF_A_PIXEL if weight.dim() == 2 else _OF_MAPS):
            return None
        found = cls(mask, weight, shape, g, side_by_side=side_by_side)
        area = found.pixels[0] * found.pixels[1]
        pays = min(found.pixels) > 0 and shape[0] * padded(weight, g) * area >= WORTH
        return found if pays else None

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return y = W * x + b.

        Parameters
        ----------
        x
            Plain, of the pattern's shape, with any strides.
        weight
            Plain, of the pattern's weight's shape and strides.
        bias
            (out,), or None.

        Returns
        -------
        Tensor
            (n, out, height, width), channels last where x or the weight is so, or (n, out).
        """
        y = result(x, weight, self.pixels, side_by_side=self._side_by_side)
        room, at = torch.empty(self._room), None if bias is None else bias.contiguous()
        run = _forward()
        assert run is not None
        run(
            self._layer, Maps.of(x), Maps.of(y), x.data_ptr(), weight.data_ptr(),
            None if at is None else at.data_ptr(), y.data_ptr(), room.data_ptr(),
        )  # fmt: skip
        return y

    def backward(
        self, x: Tensor, weight: Tensor, dy: Tensor, *, wanted: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Return the gradients of x and of the weight.

        Parameters
        ----------
        x, weight
            As for `forward`.
        dy
            The gradient of its result, with any strides.
        wanted
            Whether that of x is.

        Returns
        -------
        tuple
            dx, or None where it is not wanted, and dW, which is 0 outside the pattern.
        """
        dweight, dx = torch.zeros_like(weight), torch.empty_like(x) if wanted else None
        room = torch.empty(self._room)
        run = _backward()
        assert run is not None
        run(
            self._layer, Maps.of(x), Maps.of(dy), None if dx is None else Maps.of(dx),
            x.data_ptr(), weight.data_ptr(), dy.data_ptr(), None if dx is None else dx.data_ptr(),
            dweight.data_ptr(), room.data_ptr(),
        )  # fmt: skip
        return dx, dweight


def narrow(weight: Tensor, geometry: Geometry) -> bool:
    """Whether a convolution has so few channels that it is better not left to dense kernels."""
    return weight.dim() > 2 and weight.numel() < _OF_MAPS * padded(weight, geometry)


def padded(weight: Tensor, geometry: Geometry) -> int:
    """Return how many weights a dense layer multiplies in fact."""
    if weight.dim() == 2 or geometry.groups > 1:
        return weight.numel()
    out, each, tall, wide = weight.shape
    return whole(out) * (each if each < _FEW else whole(each)) * tall * wide


def whole(count: int, part: int = _LANES) -> int:
    """Return `count`, or the next larger multiple of `part`."""
    return -(-count // part) * part


_LAYER = ctypes.POINTER(_Layer)


def _forward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 5
    return build.function("sparse.c", "sparse_forward", (_LAYER, MAPS, MAPS, *pointers))


def _backward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 6
    return build.function("sparse.c", "sparse_backward", (_LAYER, MAPS, MAPS, MAPS, *pointers))
