"""Momentum and move of a large weight in one pass, in C."""

from __future__ import annotations

import ctypes

from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.memory import apart, flat_view, plain, written

# From this size on memory is what a step waits for, and one pass over it is worth a call of C.
LARGE = 1 << 15
_ARGUMENTS = (*[ctypes.c_void_p] * 3, ctypes.c_long, *[ctypes.c_float] * 2)


def averaged_step_(p: Tensor, g: Tensor, v: Tensor, share: float, lr: float) -> bool:
    """Do v ← v + share·(g − v), p ← p − lr·v in one pass.

    Parameters
    ----------
    p, g, v
        Weights, gradient and momentum, of one shape and layout.
    share
        1 − m.
    lr
        η.

    Returns
    -------
    bool
        False where that does not pay or C cannot go, and then nothing was done.
    """
    if p.numel() < LARGE or not plain(p, g, v):
        return False
    if not p.shape == g.shape == v.shape or not p.stride() == g.stride() == v.stride():
        return False
    if flat_view(p) is None or not apart(p, g, v):
        return False
    kernel = build.function("momentum.c", "averaged_step", _ARGUMENTS)
    if kernel is None:
        return False
    kernel(v.data_ptr(), g.data_ptr(), p.data_ptr(), p.numel(), share, lr)
    written(p, v)
    return True
