"""Convolutions and linear layers that multiply only the weights that are not zero, in C.

A linear layer is a convolution of one pixel. torch's own dense layers are the twin: they give the
same up to the order of summation, and serve wherever C cannot go or does not pay.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import grad

from tl1bench.kernels import build
from tl1bench.kernels.memory import flat_view, plain

_LANES = 16  # images that lie side by side, of which a vector holds so many at most
_CACHED = 32  # of so many a channel of a usual map stays in the fastest cache
# From these shares of non-zero weights on, for each thread that torch may use, dense is as fast.
_OF_MAPS, _OF_A_PIXEL = 0.5, 0.15
# Multiplications that dense layers do in the time that calling C takes.
_WORTH = 1 << 20


class _Maps(ctypes.Structure):
    _fields_ = (("size", ctypes.c_long * 4), ("step", ctypes.c_long * 4))

    @classmethod
    def of(cls, t: Tensor) -> _Maps:
        pixel = (1,) * (4 - t.dim())
        return cls((ctypes.c_long * 4)(*t.shape, *pixel), (ctypes.c_long * 4)(*t.stride(), *pixel))


class _Layer(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_long), ("count", ctypes.c_long),
        *((name, ctypes.c_void_p) for name in ("first", "place", "offset", "row", "by_pixel")),
        ("padding", ctypes.c_long * 2), ("stride", ctypes.c_long * 2), ("handful", ctypes.c_long),
    )  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """How a convolution goes over the height and width of its input; pixels outside are 0."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


class Pattern:
    """The weights of a layer that may differ from 0, for inputs of one size.

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
    """

    def __init__(
        self,
        mask: Tensor,
        weight: Tensor,
        shape: tuple[int, ...],
        geometry: Geometry | None = None,
    ) -> None:
        self.geometry = g = geometry or Geometry()
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
        handful = -(-min(n, 4 * _CACHED if area == 1 else _CACHED) // _LANES) * _LANES
        self._room = handful * (2 * channels * height * width + out * area)
        self._layer = _Layer(
            out, len(o), *(t.data_ptr() for t in self._kept),
            (ctypes.c_long * 2)(*g.padding), (ctypes.c_long * 2)(*g.stride), handful,
        )  # fmt: skip
        fits = channels == each * g.groups and mask.shape == weight.shape and min(self.pixels) > 0
        share = len(o) / max(1, mask.numel()) * torch.get_num_threads()
        worth = n >= _LANES and n * mask.numel() * area >= _WORTH
        worth &= share < (_OF_A_PIXEL if area == 1 else _OF_MAPS)
        # Whatever does not fit is torch's to refuse.
        self.pays = fits and worth and flat_view(weight) is not None and _forward() is not None

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
        y = torch.empty(len(x), len(weight), *self.pixels[: x.dim() - 2])
        if _channels_last(x) or _channels_last(weight):
            y = torch.empty_like(y, memory_format=torch.channels_last)
        room, at = torch.empty(self._room), None if bias is None else bias.contiguous()
        run = _forward()
        assert run is not None
        run(
            self._layer, _Maps.of(x), _Maps.of(y), x.data_ptr(), weight.data_ptr(),
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
            self._layer, _Maps.of(x), _Maps.of(dy), None if dx is None else _Maps.of(dx),
            x.data_ptr(), weight.data_ptr(), dy.data_ptr(), None if dx is None else dx.data_ptr(),
            dweight.data_ptr(), room.data_ptr(),
        )  # fmt: skip
        return dx, dweight


def _channels_last(t: Tensor) -> bool:
    # Of one channel both formats are right: which is meant stands in its stride.
    return t.dim() == 4 and t.stride(1) == 1 and t.is_contiguous(memory_format=torch.channels_last)


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, pattern: Pattern) -> Tensor | None:
    """Return W x + b, or W * x + b, with its gradients; None where C cannot go.

    Parameters
    ----------
    x, weight, bias
        Input, weight and bias of the layer.
    pattern
        Which weights are multiplied.

    Returns
    -------
    Tensor or None
        The gradient of the weight is 0 outside the pattern.
    """
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_autocast_enabled("cpu") or not plain(*(t.detach() for t in tensors)):
        return None
    found: Tensor = _Convolution.apply(x, weight, bias, pattern)
    return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pattern: Pattern
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pattern, ctx.biased = pattern, bias is not None
        return pattern.forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,), (x, weight) = gradients, ctx.saved_tensors
        wanted, pattern = ctx.needs_input_grad[0], ctx.pattern
        if 0 in dy.stride():  # of a sum every number is the same one
            dy = dy.contiguous()
        if torch.is_grad_enabled() or not plain(dy):  # a gradient of the gradient may be wanted
            dx, dweight = _dense(x, weight, dy, pattern)
        else:
            dx, dweight = pattern.backward(x, weight, dy, wanted=wanted)
        return dx, dweight, dy.sum((0, *range(2, dy.dim()))) if ctx.biased else None, None


def _dense(x: Tensor, weight: Tensor, dy: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
    if x.dim() == 2:
        return dy @ weight, dy.t() @ x * pattern.mask
    g = pattern.geometry
    how = (g.stride, g.padding, g.dilation, g.groups)
    dweight = grad.conv2d_weight(x, weight.shape, dy, *how)
    return grad.conv2d_input(x.shape, weight, dy, *how), dweight * pattern.mask


_MAPS, _LAYER = ctypes.POINTER(_Maps), ctypes.POINTER(_Layer)


def _forward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 5
    return build.function("sparse.c", "sparse_forward", (_LAYER, _MAPS, _MAPS, *pointers))


def _backward() -> Callable[..., None] | None:
    pointers = (ctypes.c_void_p,) * 6
    return build.function("sparse.c", "sparse_backward", (_LAYER, _MAPS, _MAPS, _MAPS, *pointers))
