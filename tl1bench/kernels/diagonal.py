"""Group lasso and transformed ℓ1 in a diagonal metric: each weight has a step of its own."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.tl1 import POLYNOMIAL, flat_view

# In double throughout: there is no cube root to take then, since r³ = b*³/b³ is all that p needs.
_SOURCE = """
#include <math.h>
#define MAD(x, y, z) ((x) * (y) + (z))
#define CHUNK 512
#define NEWTON_STEPS 60
struct part { float *w; const float *step; long rows, n, width; };

void tl1(float *restrict w, const float *restrict step, long n, double amount, double a) {
    double edge = a * a / (2 * (a + 1)), slope = (a + 1) / a, cube = 6.75 * a * (a + 1);
    for (long i = 0; i < n; i++) {
        double v = w[i], tau = step[i] * amount, m = fabs(v), inverse = 1 / (m + a);
        double t = tau <= edge ? tau * slope : sqrt(2 * tau * (a + 1)) - a / 2;
        double share = cube * tau * inverse * inverse, rest = 1 - share * inverse;
        double p = sqrt(rest > 0 ? rest : 0), s = share / (POLYNOMIAL);
        s = s < m ? s : m;
        w[i] = m <= t ? 0 : v - copysign(s, v);
    }
}

// Column sums over a chunk of columns are added to those of their groups.
static void add(double *of_group, const double *column, long from, long many, long width) {
    long g = from / width, left = width - from % width;
    for (long j = 0; j < many; j++) {
        of_group[g] += column[j];
        if (--left == 0)
            left = width, g++;
    }
}

static void look(const struct part *q, double amount, double *squares, double *scaled,
                 double *unpenalised, double *largest) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double a[CHUNK] = {0}, b[CHUNK] = {0}, c[CHUNK] = {0}, d[CHUNK] = {0};
        for (long i = 0; i < q->rows; i++) {
            const float *w = q->w + i * q->n + from, *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double z = w[j], tau = step[j] * amount, square = z * z;
                double ratio = tau > 0 ? square / (tau * tau) : square > 0 ? HUGE_VAL : 0;
                a[j] += square;
                b[j] += ratio;
                c[j] += tau > 0 ? 0 : square;
                d[j] = tau > d[j] ? tau : d[j];
            }
        }
        add(squares, a, from, many, q->width);
        add(scaled, b, from, many, q->width);
        add(unpenalised, c, from, many, q->width);
        for (long j = 0; j < many; j++) {
            double *most = largest + (from + j) / q->width;
            *most = d[j] > *most ? d[j] : *most;
        }
    }
}

static void newton(const struct part *q, double amount, const double *r, double *square,
                   double *slope) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double a[CHUNK] = {0}, b[CHUNK] = {0}, radius[CHUNK];
        for (long j = 0; j < many; j++)
            radius[j] = r[(from + j) / q->width];
        for (long i = 0; i < q->rows; i++) {
            const float *w = q->w + i * q->n + from, *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double below = radius[j] + step[j] * amount;
                double inverse = 1 / (below > 1e-150 ? below : 1e-150), part = w[j] * inverse;
                part *= part;
                a[j] += part;
                b[j] += part * inverse;
            }
        }
        add(square, a, from, many, q->width);
        add(slope, b, from, many, q->width);
    }
}

static void shorten(const struct part *q, double amount, const double *r, const double *scaled) {
    for (long from = 0; from < q->n; from += CHUNK) {
        long many = q->n - from < CHUNK ? q->n - from : CHUNK;
        double radius[CHUNK];
        for (long j = 0; j < many; j++) {
            long g = (from + j) / q->width;
            radius[j] = scaled[g] > 1 ? r[g] : 0;
        }
        for (long i = 0; i < q->rows; i++) {
            float *w = q->w + i * q->n + from;
            const float *step = q->step + i * q->n + from;
            for (long j = 0; j < many; j++) {
                double below = radius[j] + step[j] * amount;
                w[j] = radius[j] > 0 ? w[j] * (radius[j] / below) : 0;
            }
        }
    }
}

void group_lasso(const struct part *parts, long count, long groups, double amount, double *work) {
    double *r = work, *square = r + groups, *slope = square + groups;
    double *scaled = slope + groups, *largest = scaled + groups;
    for (long k = 0; k < 5 * groups; k++)
        work[k] = 0;
    for (long k = 0; k < count; k++)
        look(parts + k, amount, square, scaled, slope, largest);
    for (long g = 0; g < groups; g++) {
        // Both are at most the norm that is sought.
        double penalised = sqrt(square[g]) - largest[g], free = sqrt(slope[g]);
        r[g] = penalised > free ? penalised : free;
    }
    for (int turn = 0; turn < NEWTON_STEPS; turn++) {
        int done = 1;
        for (long g = 0; g < 2 * groups; g++)
            square[g] = 0;
        for (long k = 0; k < count; k++)
            newton(parts + k, amount, r, square, slope);
        for (long g = 0; g < groups; g++) {
            double move = square[g] > 1 ? (sqrt(square[g]) - 1) * square[g] / slope[g] : 0;
            r[g] += move;
            done &= move <= 1e-5 * r[g]; // quadratic: the next move would be nil in float32
        }
        if (done)
            break;
    }
    for (long k = 0; k < count; k++)
        shorten(parts + k, amount, r, scaled);
}
""".replace("POLYNOMIAL", POLYNOMIAL)


class _Part(ctypes.Structure):
    _fields_ = (
        ("w", ctypes.c_void_p), ("step", ctypes.c_void_p),
        ("rows", ctypes.c_long), ("n", ctypes.c_long), ("width", ctypes.c_long),
    )  # fmt: skip


_TL1 = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_double, ctypes.c_double)
_LASSO = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_double, ctypes.c_void_p)


def tl1_(w: Tensor, step: Tensor, amount: float, a: float) -> bool:
    """Apply the prox of TL1 with λ·step = amount·step to float32 weights in place, in C.

    False where it cannot be, and then nothing was done.
    """
    alike = w.dtype == step.dtype == torch.float32 and w.stride() == step.stride()
    if not alike or w.device.type != "cpu" or flat_view(w) is None:
        return False
    kernel = build.function(_SOURCE, "tl1", _TL1)
    if kernel is None:
        return False
    kernel(w.data_ptr(), step.data_ptr(), w.numel(), amount, a)
    return True


def group_lasso_(
    weights: Sequence[Tensor], steps: Sequence[Tensor], groups: int, amount: float
) -> bool:
    """Apply the prox of ‖·‖ with the steps times `amount` to groups in place, in C.

    A group is zero where ‖(z_i/τ_i)_i‖ ≤ 1, else x_i = r z_i/(r + τ_i) with the r that makes
    ‖(z_i/(r+τ_i))_i‖ = 1, found by Newton from below. `weights` are contiguous float32 matrices,
    in whose rows each of the `groups` is one stretch; `steps` are matrices alike. False where
    there is no compiler, and then nothing was done.
    """
    kernel = build.function(_SOURCE, "group_lasso", _LASSO)
    if kernel is None:
        return False
    parts = (_Part * len(weights))()
    for part, w, step in zip(parts, weights, steps, strict=True):
        part.w, part.step = w.data_ptr(), step.data_ptr()
        part.rows, part.n = w.shape
        part.width = w.shape[1] // groups
    work = torch.empty(5 * groups, dtype=torch.float64)
    kernel(parts, len(parts), groups, amount, work.data_ptr())
    return True
