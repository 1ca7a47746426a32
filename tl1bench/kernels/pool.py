"""The largest of each two by two pixels where images lie side by side, in C, with its gradient.

torch's own pooling is the twin; it takes one number after the other unless channels are neighbours.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.maps import MAPS, Maps, neighbours
from tl1bench.kernels.memory import flat_view, plain

_LANES = 16  # of fewer images torch is as fast
_POINTERS = (ctypes.c_void_p,) * 3


def pooled(x: Tensor) -> Tensor | None:
    """Return the maximum over windows of 2 × 2 that do not overlap, or None where C cannot go.

    Parameters
    ----------
    x
        (n, channels, height, width) whose images are neighbours in memory.

    Returns
    -------
    Tensor or None
        (n, channels, ⌊height / 2⌋, ⌊width / 2⌋), images neighbours again; as torch chooses, so
        does the gradient: the first of equal ones, the last NaN.
    """
    if x.dim() != 4 or x.stride(0) != 1 or len(x) < _LANES or min(x.shape[2:]) < 2:
        return None
    if not plain(x.detach()) or flat_view(x.detach()) is None:
        return None
    if build.function("pool.c", "pool_forward", (MAPS, MAPS, *_POINTERS)) is None:
        return None
    found: Tensor = _Pooling.apply(x)
    return found


class _Pooling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        shape = (*x.shape[:2], *(size // 2 for size in x.shape[2:]))
        y, which = neighbours(shape), neighbours(shape, torch.uint8)
        run = build.function("pool.c", "pool_forward", (MAPS, MAPS, *_POINTERS))
        assert run is not None
        run(Maps.of(x), Maps.of(y), x.data_ptr(), y.data_ptr(), which.data_ptr())
        ctx.save_for_backward(x, which)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (dy,), (x, which) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled() or not plain(dy):  # a gradient of the gradient may be wanted
            return _by_torch(x, dy, which)
        if dy.stride() != which.stride():
            dy = neighbours(dy.shape).copy_(dy)
        odd = any(size % 2 for size in x.shape[2:])
        dx = torch.zeros_like(x) if odd else torch.empty_like(x)
        run = build.function("pool.c", "pool_backward", (MAPS, MAPS, *_POINTERS))
        assert run is not None
        run(Maps.of(x), Maps.of(dy), dx.data_ptr(), dy.data_ptr(), which.data_ptr())
        return dx


def _by_torch(x: Tensor, dy: Tensor, which: Tensor) -> Tensor:
    height, width = dy.shape[2:]
    down, right = (2 * torch.arange(size) for size in (height, width))
    chosen = which.long()
    place = (down[:, None] + chosen // 2) * x.shape[3] + right + chosen % 2
    dx = dy.new_zeros(x.shape).flatten(2).scatter(2, place.flatten(2), dy.flatten(2))
    return dx.view(x.shape)
