"""Linear layers that multiply only the weights that are not 0, in C, as autograd knows layers.

torch's own dense layer is the twin: it gives the same up to the order of summation, and serves
wherever C cannot go or does not pay.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.kernels import build
from tl1bench.kernels.memory import plain

_LANES = 16  # numbers in the longest vector
_SHARE = 1 / 3  # of non-zero weights from which on dense is as fast, for each thread of torch
# Multiplications that dense layers do in the time that calling C takes.
_WORTH = 1 << 20


class _Linear(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_long) for name in ("examples", "side", "in", "out")),
        ("first", ctypes.c_void_p), ("column", ctypes.c_void_p),
    )  # fmt: skip


class Places:
    """Where the weights of a linear layer lie that are not 0; `of` finds them.

    Parameters
    ----------
    shape
        (out, in) of the weight.
    first, column
        (out + 1,) and at least (first[out],) int32: the columns of row o are those from first[o]
        to first[o + 1].
    """

    def __init__(self, shape: torch.Size, first: Tensor, column: Tensor) -> None:
        self.shape, self._first, self._column = shape, first, column

    @classmethod
    def of(cls, weight: Tensor) -> Places | None:
        """Look through a weight; None where dense is as fast or C cannot go.

        Parameters
        ----------
        weight
            (out, in), or the mask of one.
        """
        weight = weight.detach()
        kernel = build.function("linear.c", "linear_places", _PLACES)
        if kernel is None or weight.dim() != 2 or not (plain(weight) and weight.is_contiguous()):
            return None
        (out, width), count = weight.shape, ctypes.c_long()
        limit = int(_SHARE * weight.numel() / torch.get_num_threads())
        first = torch.empty(out + 1, dtype=torch.int32)
        column = torch.empty(limit + width + 1, dtype=torch.int32)
        kernel(
            weight.data_ptr(), out, width, limit, first.data_ptr(), column.data_ptr(), count
        )  # fmt: skip
        return None if count.value < 0 else cls(weight.shape, first, column)

    def mask(self) -> Tensor:
        """Return (out, in) of ones at the places and zeros elsewhere."""
        rows = torch.arange(self.shape[0]).repeat_interleave(self._first.diff())
        found = torch.zeros(self.shape)
        found[rows, self._column[: len(rows)]] = 1
        return found

    def layer(self, examples: int) -> _Linear:
        """Return the layer as kernels take it, for so many examples."""
        out, width = self.shape
        side = -(-examples // _LANES) * _LANES
        at = self._first.data_ptr(), self._column.data_ptr()
        return _Linear(examples, side, width, out, *at)


def worth(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer is so large, and its examples so many, that C may pay."""
    return x.dim() == 2 and len(x) >= _LANES and len(x) * weight.numel() >= _WORTH


def multiplied(
    x: Tensor, weight: Tensor, bias: Tensor | None, places: Places, *, held: bool
) -> Tensor | None:
    """Return x Wᵀ + b with its gradients; None where C cannot go.

    Parameters
    ----------
    x
        (n, in), any strides.
    weight, bias
        (out, in) and (out,) of the layer; outside `places` the weight is 0.
    places
        Which weights are multiplied.
    held
        Whether the other weights stay 0: the gradient of the weight is then 0 there.

    Returns
    -------
    Tensor or None
        (n, out).

    Raises
    ------
    ConfigError
        The places are those of a weight of another shape, or the input does not fit.
    """
    if weight.shape != places.shape or x.dim() != 2 or x.shape[1] != weight.shape[1]:
        raise ConfigError(
            f"An input {tuple(x.shape)} and a weight {tuple(weight.shape)} do not fit places of "
            f"{tuple(places.shape)}: find the places of this weight, and give it (n, in)."
        )
    with torch.no_grad():
        able = plain(x, weight) and weight.is_contiguous() and (bias is None or plain(bias))
    if not able or torch.is_autocast_enabled("cpu"):
        return None
    found: Tensor = _Multiplied.apply(x, weight, bias, places, held)
    return found


class _Multiplied(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, places: Places, held: bool
    ) -> Tensor:
        layer = places.layer(len(x))
        turned, y = _turned(layer, x), x.new_empty(len(x), len(weight))
        room = torch.empty(layer.out, layer.side)
        given = None if bias is None else bias.contiguous()
        _run("forward", 5)(
            layer, turned.data_ptr(), weight.data_ptr(),
            None if given is None else given.data_ptr(), room.data_ptr(), y.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(x, weight)
        ctx.layer, ctx.places, ctx.turned = layer, places, turned if held else None
        ctx.biased = bias is not None
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (dy,), (x, weight), layer = gradients, ctx.saved_tensors, ctx.layer
        wanted, at, dx = ctx.needs_input_grad, ctx.turned, None
        if 0 in dy.stride():  # of a sum every number is the same one
            dy = dy.contiguous()
        by_torch = torch.is_grad_enabled() or not plain(dy)  # the gradient's own may be wanted
        side = None if by_torch or (at is None and not wanted[0]) else _turned(layer, dy)
        if wanted[0]:
            dx = dy @ weight if side is None else _inputs(layer, side, weight)
        if at is None:
            dweight = dy.t() @ x
        elif side is None:
            dweight = dy.t() @ x * ctx.places.mask()
        else:
            dweight = torch.zeros_like(weight)
            _run("weights", 3)(layer, at.data_ptr(), side.data_ptr(), dweight.data_ptr())
        return dx, dweight, dy.sum(0) if ctx.biased else None, None, None


def _turned(layer: _Linear, x: Tensor) -> Tensor:
    """Return examples (n, k) side by side: (k, n rounded up)."""
    to = torch.empty(x.shape[1], layer.side)
    kernel = build.function("linear.c", "linear_turned", _TURNED)
    assert kernel is not None
    kernel(layer, x.data_ptr(), x.shape[1], *x.stride(), to.data_ptr())
    return to


def _inputs(layer: _Linear, dy: Tensor, weight: Tensor) -> Tensor:
    width = weight.shape[1]
    dx, room = torch.empty(layer.examples, width), torch.empty(width, layer.side)
    _run("inputs", 4)(layer, dy.data_ptr(), weight.data_ptr(), room.data_ptr(), dx.data_ptr())
    return dx


_LAYER, _AT = ctypes.POINTER(_Linear), ctypes.c_void_p
_PLACES = (_AT, *[ctypes.c_long] * 3, _AT, _AT, ctypes.POINTER(ctypes.c_long))
_TURNED = (_LAYER, _AT, *[ctypes.c_long] * 3, _AT)


def _run(name: str, pointers: int) -> Callable[..., None]:
    found = build.function("linear.c", f"linear_{name}", (_LAYER, *[_AT] * pointers))
    assert found is not None
    return found
