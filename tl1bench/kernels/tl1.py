r"""The prox of the transformed ℓ1 in closed, well-conditioned form, for any step and precision.

With b = a + |z| and c = τa(a+1) the shrinkage s = |z| − x is the smallest root of s (b−s)² = c.
Let b* = (27c/4)^{1/3}, below which there is no root, r = b*/b and p = √(1−r³). Then

    s = ⅔ b (1 − T_{2/3}(p)) = (4/3) b sin²(½·⅔·arccos p) = b* r² / D(p),

with T_{2/3}(p) = cos(⅔ arccos p). Nothing cancels: with e = (|z| − (b*−a))/b, in which the
subtraction is exact near the double root r = 1, p = √(e(1 + r + r²)). D(p) = (1−p²)/(⅔(1−T_{2/3}))
is analytic on [0, 1], 3 + 2√3 p + p²/3 − …; the kernel in C takes a minimax polynomial of degree 5
for it, which gives 1/D with a relative error of 1.5e-7.

The published form ⅔b cos(φ/3) − ⅔a + |z|/3 subtracts nearly equal numbers: at a = 1 and τ = 1e-7
a float32 shrinkage is off by 12 %, and half of the weights grow.

Source: Zhang & Xin, Minimization of transformed L1 penalty, Math. Program. 169 (2018), theorem on
the thresholding function; the well-conditioned form is derived here.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.memory import flat_view, in_step, number, plain, written

_HUGE = 1e36  # beyond it the constants leave float32
_STEP_EACH = (*[ctypes.c_void_p] * 2, ctypes.c_long, *[ctypes.c_double] * 2)
Packed: TypeAlias = "ctypes.Array[ctypes.c_float]"
PACKED = ctypes.POINTER(ctypes.c_float * 5)  # of a null pointer, or of `Constants` alone
_ONE_STEP = (ctypes.c_void_p, ctypes.c_long, PACKED)


class Constants(NamedTuple):
    """What depends on a and τ alone, exact in float32: threshold, a, b* − a in two parts, b*."""

    threshold: float
    a: float
    origin_high: float
    origin_low: float
    b: float


def threshold(a: float, step: float) -> float:
    """Return t: the prox is zero exactly where |z| ≤ t. The branch is on τ = `step`."""
    if step <= a * a / (2 * (a + 1)):
        return step * (a + 1) / a
    return math.sqrt(2 * step * (a + 1)) - a / 2


def _huge(a: float, step: float) -> bool:
    """Whether everything finite in float32 goes to zero, or the constants leave it."""
    return max(step, threshold(a, step)) > _HUGE


@functools.lru_cache(maxsize=256)
def constants(a: float, step: float) -> Constants:
    """Return the float32 constants of the prox with parameter `a` and τ = `step`."""
    b = math.cbrt(6.75 * step * a * (a + 1))
    t = threshold(a, step)
    below = np.float32(t)
    if float(below) > t:  # so that z > t means the same in float32
        below = np.nextafter(below, np.float32(0))
    high = float(np.float32(b - a))
    low = float(np.float32(b - a - high))
    return Constants(float(below), float(np.float32(a)), high, low, float(np.float32(b)))


@functools.lru_cache(maxsize=256)
def packed(a: float, step: float) -> Packed | None:
    """Return `constants` as kernels take them, or None where no formula in float32 is to be had.

    That is at τ = 0, where nothing moves, and where float32 cannot hold the constants.
    """
    if step == 0 or _huge(a, step):
        return None
    k = constants(a, step)
    return (ctypes.c_float * len(k))(*k)


def shrink_(z: Tensor, a: float, step: float) -> bool:
    """Apply the prox with τ = `step` to float32 weights in place, in C.

    False where C cannot go or float32 cannot hold the constants, and then nothing was done.

    Parameters
    ----------
    z
        Weights, any dense layout.
    a
        Shape of the penalty.
    step
        τ ≥ 0.

    Returns
    -------
    bool
        Whether it was done.
    """
    flat = flat_view(z) if plain(z) else None
    k = packed(a, step)
    kernel = build.function("tl1.c", "tl1", _ONE_STEP) if flat is not None and k else None
    if flat is None or kernel is None:
        return False
    kernel(flat.data_ptr(), flat.numel(), k)
    written(z)
    return True


def shrink_each_(w: Tensor, step: Tensor, amount: float, a: float) -> bool:
    """Apply the prox with τ_i = amount·step_i to float32 weights in place, in C.

    Parameters
    ----------
    w, step
        Of one shape and layout.
    amount
        λ and whatever else the steps are to be multiplied by.
    a
        Shape of the penalty.

    Returns
    -------
    bool
        False where C cannot go, and then nothing was done.
    """
    if not plain(w, step) or not in_step(w, step):
        return False
    kernel = build.function("tl1.c", "tl1_diagonal", _STEP_EACH)
    if kernel is None:
        return False
    kernel(w.data_ptr(), step.data_ptr(), w.numel(), amount, a)
    written(w)
    return True


def prox(m: Tensor, a: float, step: float | Tensor) -> Tensor:
    """Return the prox at magnitudes `m` ≥ 0, float64; `step` may differ from weight to weight.

    Parameters
    ----------
    m
        Magnitudes ≥ 0, float64, any shape.
    a
        Shape of the penalty.
    step
        τ ≥ 0, one or one for each weight.

    Returns
    -------
    Tensor
        Magnitudes ≤ m.
    """
    tau = number(step, m, torch.float64)
    small = tau * (a + 1) / a
    large = (2 * tau * (a + 1)).sqrt() - a / 2
    t = torch.where(tau <= a * a / (2 * (a + 1)), small, large)
    b = (6.75 * a * (a + 1) * tau).pow(1 / 3)
    e = (((m - b) + a) / (m + a)).clamp_(0, 1)
    p = (e * (3 + e * (e - 3))).sqrt_()
    half = torch.atan2((b / (m + a)).pow(1.5).clamp_(max=1), p) / 3
    s = (4 / 3) * (m + a) * half.sin_().square_()
    x = torch.where(m > t, (m - s).clamp_min_(0), 0.0)
    return torch.where(m.isfinite(), x, m)  # what is no number stays visible
