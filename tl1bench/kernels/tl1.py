r"""The prox of the transformed ℓ1 in closed, well-conditioned form, for any step and precision.

With b = a + |z| and c = τa(a+1) the shrinkage s = |z| − x is the smallest root of s (b−s)² = c.
Let b* = (27c/4)^{1/3}, below which there is no root, r = b*/b and p = √(1−r³). Then

    s = ⅔ b (1 − T_{2/3}(p)) = (4/3) b sin²(½·⅔·arccos p) = b* r² / D(p),

with T_{2/3}(p) = cos(⅔ arccos p). Nothing cancels: with e = (|z| − (b*−a))/b, in which the
subtraction is exact near the double root r = 1, p = √(e(3 − 3e + e²)). D(p) = (1−p²)/(⅔(1−T_{2/3}))
is analytic on [0, 1], 3 + 2√3 p + p²/3 − …; a minimax polynomial of degree 5 gives 1/D with a
relative error of 1.5e-7, its coefficients in float32.

The published form ⅔b cos(φ/3) − ⅔a + |z|/3 subtracts nearly equal numbers: at a = 1 and τ = 1e-7
a float32 shrinkage is off by 12 %, and half of the weights grow.

Source: Zhang & Xin, Minimization of transformed L1 penalty, Math. Program. 169 (2018), theorem on
the thresholding function; the well-conditioned form is derived here.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from tl1bench.kernels import build

_D = (2.9999995, 3.4641404, 0.33278865, -0.06134307, 0.01781459, -0.00340107)
CHUNK = 1 << 15  # temporaries of this many float32 stay in the processor's cache
_HUGE = 1e36  # beyond it the constants leave float32
_ARGUMENTS = (ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p)
Packed: TypeAlias = "ctypes.Array[ctypes.c_float]"

# D(p) in C, by Horner's rule.
POLYNOMIAL = functools.reduce("MAD({}, p, {!r}f)".format, _D[-2::-1], f"{_D[-1]!r}f")
# One weight, for every kernel that shrinks weights; `k` is `Constants`. Multiplications are fused
# with additions only where that is wanted, and where a processor can do it.
POINT = """
#include <math.h>
#ifdef __FP_FAST_FMAF
#define MAD(x, y, z) fmaf(x, y, z)
#else
#define MAD(x, y, z) ((x) * (y) + (z))
#endif
struct tl1 { float t, a, hi, lo, b; };
static inline float tl1_point(float v, struct tl1 k) {
    float m = fabsf(v), inverse = 1.0f / (m + k.a), r = inverse * k.b;
    float e = ((m - k.hi) - k.lo) * inverse;
    e = e > 0.0f ? e : 0.0f;
    float p = sqrtf(MAD(e - 3.0f, e, 3.0f) * e);
    float s = r * r * k.b / (POLYNOMIAL);
    s = s < m ? s : m;
    return m <= k.t ? 0.0f : v - copysignf(s, v);
}
""".replace("POLYNOMIAL", POLYNOMIAL)
_SOURCE = (
    POINT
    + """
void tl1_prox(float *restrict z, long n, const struct tl1 *k) {
    struct tl1 own = *k;
    for (long i = 0; i < n; i++)
        z[i] = tl1_point(z[i], own);
}
"""
)


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


def prox_float32_(z: Tensor, a: float, step: float) -> Tensor:
    """Apply the prox to a float32 tensor in place; compiled where that can be had."""
    if step == 0:
        return z
    if _huge(a, step):
        return z.zero_() if bool(torch.isfinite(z).all()) else z.mul_(0)
    k = constants(a, step)
    flat = flat_view(z)
    if flat is None:
        return z.copy_(_chunked(z.reshape(-1), k).view_as(z))
    if z.device.type == "cpu":
        kernel = build.function(_SOURCE, "tl1_prox", _ARGUMENTS)
        if kernel is not None:
            kernel(flat.data_ptr(), flat.numel(), packed(a, step))
            return z
        _chunked(flat, k)
        return z
    twin = formula_ if build.mode() == "never" else graph()
    twin(flat, *k)
    return z


def prox_float64(m: Tensor, a: float, step: float | Tensor) -> Tensor:
    """Return the prox at magnitudes `m` ≥ 0, float64; `step` may differ from weight to weight."""
    tau = torch.as_tensor(step, dtype=torch.float64, device=m.device)
    small = tau * (a + 1) / a
    large = (2 * tau * (a + 1)).sqrt() - a / 2
    t = torch.where(tau <= a * a / (2 * (a + 1)), small, large)
    b = (6.75 * a * (a + 1) * tau).pow(1 / 3)
    e = (((m - b) + a) / (m + a)).clamp_(0, 1)
    p = (e * (3 + e * (e - 3))).sqrt_()
    half = torch.atan2((b / (m + a)).pow(1.5).clamp_(max=1), p) / 3
    s = (4 / 3) * (m + a) * half.sin_().square_()
    return torch.where(m > t, (m - s).clamp_min_(0), 0.0)


def formula_(z: Tensor, t: float, a: float, high: float, low: float, b: float) -> Tensor:
    """Apply the float32 prox with the constants given, in place: the kernel's twin."""
    m = z.abs()
    inverse = (m + a).reciprocal_()
    e = m.sub(high).sub_(low).mul_(inverse).clamp_min_(0)
    p = e.sub(3).mul_(e).add_(3).mul_(e).sqrt_()
    below = p.mul(_D[-1])
    for coefficient in _D[-2:0:-1]:
        below = below.add_(coefficient).mul_(p)
    r = inverse.mul_(b)
    s = r.mul(r).mul_(b).div_(below.add_(_D[0]))
    # hardshrink makes what is at or below the threshold zero, and a NaN stays one.
    z.copy_(torch.nn.functional.hardshrink(z, t))
    return z.sub_(torch.minimum(s, z.abs()).copysign_(z))


def flat_view(z: Tensor) -> Tensor | None:
    """Return the storage of `z` as one dimension, or None where it has holes or overlaps."""
    if z.is_contiguous():
        return z.view(-1)
    order = sorted(range(z.dim()), key=lambda d: (z.stride(d), z.size(d)), reverse=True)
    dense = z.permute(order)
    return dense.view(-1) if dense.is_contiguous() else None


def _chunked(flat: Tensor, k: Constants) -> Tensor:
    for start in range(0, flat.numel(), CHUNK):
        formula_(flat[start : start + CHUNK], *k)
    return flat


@functools.cache
def graph() -> Callable[..., Tensor]:
    """Return `formula_` through torch.compile, once for all sizes: for accelerators."""
    return torch.compile(formula_, dynamic=True)
