"""A layer that multiplies only the weights that may differ from 0, as autograd knows layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import grad

from tl1bench.errors import ConfigError
from tl1bench.kernels.direct import Direct
from tl1bench.kernels.maps import fitting
from tl1bench.kernels.memory import plain
from tl1bench.kernels.sparse import Pattern


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, pattern: Pattern | Direct
) -> Tensor | None:
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

    Raises
    ------
    ConfigError
        The pattern was made for other sizes or strides.
    """
    given = fitting(x.shape, weight)
    if given != pattern.fits:
        raise ConfigError(
            f"A pattern made for input, weight and its strides {pattern.fits} meets {given}: make "
            "one for each size of the input, and anew where the weight is another tensor."
        )
    tensors = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_autocast_enabled("cpu") or not plain(*(t.detach() for t in tensors)):
        return None
    found: Tensor = _Convolution.apply(x, weight, bias, pattern)
    return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pattern: Pattern | Direct
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
            dx, dweight = _by_torch(x, weight, dy, pattern)
        else:
            dx, dweight = pattern.backward(x, weight, dy, wanted=wanted)
        return dx, dweight, dy.sum((0, *range(2, dy.dim()))) if ctx.biased else None, None


def _by_torch(
    x: Tensor, weight: Tensor, dy: Tensor, pattern: Pattern | Direct
) -> tuple[Tensor, Tensor]:
    if x.dim() == 2:
        return dy @ weight, dy.t() @ x * pattern.mask
    g = pattern.geometry
    how = (g.stride, g.padding, g.dilation, g.groups)
    dweight = grad.conv2d_weight(x, weight.shape, dy, *how)
    return grad.conv2d_input(x.shape, weight, dy, *how), dweight * pattern.mask
