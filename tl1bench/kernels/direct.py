"""Convolutions of a few channels with all of their weights, in C, images lying side by side.

torch's dense kernels fill channels up to whole vectors, and are faster where there is nothing to
fill; they give the same up to the order of summation.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.maps import MAPS, Geometry, Maps, fitting, result
from tl1bench.kernels.memory import flat_view
from tl1bench.kernels.sparse import WORTH, padded, whole

_SIDE = 64  # images side by side
_ROWS = 8  # at least as many channels as C takes at once
# Where dense kernels multiply so many times what is there, they are as fast; with so few inputs to
# an output they lose more time on the pool behind it, even where vectors are narrower.
_FILLED, _FEW, _WIDE = 1.5, 75, 16


class _Weights(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_long * 4), ("step", ctypes.c_long * 4), ("start", ctypes.c_long),
    )  # fmt: skip


_PAIR, _WEIGHTS = ctypes.c_long * 2, ctypes.POINTER(_Weights)


class Direct:
    """A convolution for inputs of one size; `of` makes it where it pays.

    Parameters
    ----------
    weight, shape, geometry
        As for `of`, once it is known that C can go.
    """

    mask = 1.0
    """Of the weights, none is left out."""

    def __init__(self, weight: Tensor, shape: Sequence[int], geometry: Geometry) -> None:
        self.geometry, self.fits = geometry, fitting(shape, weight)
        size = [s + 2 * p for s, p in zip(shape[2:], geometry.padding, strict=True)]
        self.pixels = tuple(s - k + 1 for s, k in zip(size, weight.shape[2:], strict=True))
        out, each, *kernel = weight.shape
        maps = each * size[0] * size[1] + out * self.pixels[0] * self.pixels[1]
        packed = (out * each + _ROWS * max(out, each)) * kernel[0] * kernel[1]
        self._room = _SIDE * maps + packed
        self._padding = _PAIR(*geometry.padding)

    @classmethod
    def of(cls, weight: Tensor, shape: Sequence[int], geometry: Geometry) -> Direct | None:
        """Return the way of a convolution, or None where torch's is as fast or C cannot go.

        Parameters
        ----------
        weight
            (out, in, kernel height, kernel width).
        shape
            (n, in, height, width) of the input.
        geometry
            Without strides, dilation or groups.

        Returns
        -------
        Direct or None
            Whatever does not fit together has none, and is torch's to refuse.
        """
        if weight.dim() != 4 or len(shape) != 4 or shape[1] != weight.shape[1]:
            return None
        if geometry != Geometry(padding=geometry.padding):
            return None
        filled, many = padded(weight, geometry), weight[:1].numel() > _FEW
        least = torch.get_num_threads() * (_FILLED if many else 1.0)
        if least * weight.numel() > filled or _lanes() < (_WIDE if many else 1):
            return None
        if 4 * shape[0] < 3 * whole(shape[0], _SIDE) or flat_view(weight) is None:
            return None
        found = cls(weight, shape, geometry)
        area = found.pixels[0] * found.pixels[1]
        pays = min(found.pixels) > 0 and shape[0] * filled * area >= WORTH
        return found if pays else None

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return y = W * x + b.

        Parameters
        ----------
        x
            Plain, of the size that this was made for, with any strides.
        weight
            Plain.
        bias
            (out,), or None.

        Returns
        -------
        Tensor
            (n, out, height, width), images being neighbours.
        """
        y = result(x, weight, self.pixels, side_by_side=True)
        room, at = torch.empty(self._room), None if bias is None else bias.contiguous()
        run = _forward()
        assert run is not None
        run(
            _weights(weight), self._padding, Maps.of(x), Maps.of(y), x.data_ptr(),
            weight.data_ptr(), None if at is None else at.data_ptr(), y.data_ptr(),
            room.data_ptr(),
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
            dx, or None where it is not wanted, and dW.
        """
        dweight, dx = torch.zeros_like(weight), torch.empty_like(x) if wanted else None
        room, run = torch.empty(self._room), _backward()
        assert run is not None
        run(
            _weights(weight), self._padding, Maps.of(x), Maps.of(dy),
            None if dx is None else Maps.of(dx), x.data_ptr(), weight.data_ptr(), dy.data_ptr(),
            None if dx is None else dx.data_ptr(), dweight.data_ptr(), room.data_ptr(),
        )  # fmt: skip
        return dx, dweight


def _weights(weight: Tensor) -> _Weights:
    four = ctypes.c_long * 4
    return _Weights(four(*weight.shape), four(*weight.stride()), 0)


def _lanes() -> int:
    """Return how many numbers a vector has in C; 0 where there is no C."""
    found = ctypes.c_long()
    ask = build.function("direct.c", "direct_lanes", (ctypes.POINTER(ctypes.c_long),))
    if ask is not None:
        ask(found)
    return found.value


def _forward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 5
    return build.function("direct.c", "direct_forward", (_WEIGHTS, _PAIR, MAPS, MAPS, *pointers))


def _backward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 6
    kinds = (_WEIGHTS, _PAIR, MAPS, MAPS, MAPS, *pointers)
    return build.function("direct.c", "direct_backward", kinds)
