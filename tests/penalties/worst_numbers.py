"""Every penalty against formulas written down here anew: `python tests/penalties/worst_numbers.py`.

Prints the worst numbers over random hyper-parameters, steps and λs far past every validity range:
how far the prox's objective lies above a brute-force minimum, how far the value is off, and how far
the float32 transformed ℓ1 is from the truth. Options: a seed and the number of draws.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from tl1bench import penalties
from tl1bench.kernels.tl1 import threshold

Array = np.ndarray
Hyper = Mapping[str, Any]


def tl1(m: Array, a: float) -> Array:
    return (a + 1) * m / (a + m)


def mcp(m: Array, lam: float, gamma: float) -> Array:
    return np.where(m <= gamma * lam, lam * m - m * m / (2 * gamma), gamma * lam * lam / 2)


def scad(m: Array, lam: float, a: float) -> Array:
    middle = (2 * a * lam * m - m * m - lam * lam) / (2 * (a - 1))
    flat = lam * lam * (a + 1) / 2
    return np.where(m <= lam, lam * m, np.where(m <= a * lam, middle, flat))


def norm(m: Array) -> Array:
    return np.sqrt((m * m).sum(-1))


def scaled_norm(m: Array, hyper: Hyper) -> Array:
    return norm(m) * (math.sqrt(m.shape[-1]) if hyper["group_scale"] == "sqrt" else 1.0)


VALUE: dict[str, Callable[[Array, float, Hyper], Array]] = {
    "capped_l1": lambda m, lam, h: lam * np.minimum(m, h["theta"]).sum(-1),
    "cges": lambda m, lam, h: (
        lam * ((1 - h["mu"]) * scaled_norm(m, h) + h["mu"] / 2 * m.sum(-1) ** 2)
    ),
    "exclusive": lambda m, lam, h: lam / 2 * m.sum(-1) ** 2,
    "group_lasso": lambda m, lam, h: lam * scaled_norm(m, h),
    "group_mcp": lambda m, lam, h: mcp(
        norm(m), lam * (math.sqrt(m.shape[-1]) if h["group_scale"] == "sqrt" else 1), h["gamma"]
    ),
    "group_tl1": lambda m, lam, h: (
        lam * tl1(norm(m), h["a"]) * (math.sqrt(m.shape[-1]) if h["group_scale"] == "sqrt" else 1)
    ),
    "integrated_tl1": lambda m, lam, h: (
        lam * (h["mu"] * scaled_norm(m, h) + (1 - h["mu"]) * tl1(m, h["a"]).sum(-1))
    ),
    "l0": lambda m, lam, h: lam * (m > 0).sum(-1),
    "l1": lambda m, lam, h: lam * m.sum(-1),
    "l1_minus_l2": lambda m, lam, h: lam * (m.sum(-1) - h["alpha"] * norm(m)),
    "l2": lambda m, lam, h: lam * (m * m).sum(-1) / 2,
    "l_half": lambda m, lam, h: lam * np.sqrt(m).sum(-1),
    "log_sum": lambda m, lam, h: lam * np.log1p(m / h["eps"]).sum(-1),
    "mcp": lambda m, lam, h: mcp(m, lam, h["gamma"]).sum(-1),
    "none": lambda m, lam, h: 0 * m.sum(-1),
    "scad": lambda m, lam, h: scad(m, lam, h["a"]).sum(-1),
    "sparse_group_lasso": lambda m, lam, h: (
        lam * (h["mu"] * scaled_norm(m, h) + (1 - h["mu"]) * m.sum(-1))
    ),
    "tl1": lambda m, lam, h: lam * tl1(m, h["a"]).sum(-1),
}


def decades(draw: np.random.Generator, low: float, high: float) -> float:
    return float(10 ** draw.uniform(low, high))


def hyper_parameters(draw: np.random.Generator, name: str) -> dict[str, Any]:
    """Return values from all of a penalty's ranges, their ends included."""
    share = float(draw.choice([0.0, 1.0, 1e-9, *draw.uniform(size=3)]))
    every = {
        "a": float(draw.choice([1e-6, 1e6, decades(draw, -6, 6), decades(draw, -3, 2)])),
        "alpha": share,
        "eps": float(draw.choice([1e-6, 1e6, decades(draw, -6, 6), decades(draw, -3, 1)])),
        "gamma": decades(draw, -6, 6),
        "group_scale": str(draw.choice(["sqrt", "one"])),
        "mu": share,
        "order": "exact",
        "theta": decades(draw, -6, 4),
    }
    if name == "scad":
        return {"a": 2 + decades(draw, -6, 4)}
    known = penalties.kind(name).__dataclass_fields__
    return {key: value for key, value in every.items() if key in known}


def arguments(draw: np.random.Generator, penalty: penalties.Penalty, step: float) -> Array:
    """Return groups of all sizes, zero ones too, and copies of them just around the threshold."""
    members = 1 if penalty.elementwise else int(draw.choice([1, 2, 2, 3]))
    count = {1: 40, 2: 8, 3: 4}[members]
    scale = 1.0 if draw.uniform() < 0.7 else min(1e3, math.sqrt(step * penalty.lam) + 1e-9)
    z = scale * 10 ** draw.uniform(-3, 1.5, (count, 1)) * draw.standard_normal((count, members))
    if members > 1:
        z[0], z[1, 1:], z[2] = 0, 0, z[2, 0]
    low, high = np.zeros(count), np.ones(count)
    for _ in range(50):
        middle = (low + high) / 2
        alive = (prox(penalty, z * middle[:, None], step) != 0).any(1)
        low, high = np.where(alive, low, middle), np.where(alive, middle, high)
    around = [z * (high * (1 + d))[:, None] for d in (-1e-3, -1e-9, 0, 1e-9, 1e-5, 1e-3, 0.05)]
    return np.concatenate([z, *around])


def prox(penalty: penalties.Penalty, z: Array, step: float) -> Array:
    return penalty.prox(torch.from_numpy(z), step).numpy()


def brute_minimum(value: Callable[[Array], Array], m: Array, step: float) -> Array:
    """Return the least objective on grids over [0, m], linear and logarithmic, refined."""
    members = m.shape[1]
    fine, tail = {1: (2001, 120), 2: (41, 7), 3: (14, 0)}[members]
    axis = np.unique(np.concatenate([np.linspace(0, 1, fine), np.logspace(-10, -1e-9, tail)]))
    mesh = np.stack(np.meshgrid(*[axis] * members, indexing="ij"), -1).reshape(-1, members)
    low, width, best = np.zeros_like(m), m.copy(), np.full(len(m), np.inf)
    for _ in range(7):
        x = low[:, None] + mesh * width[:, None]
        objective = 0.5 * ((x - m[:, None]) ** 2).sum(-1) + step * value(x)
        at = objective.argmin(1)
        best = np.minimum(best, objective[np.arange(len(m)), at])
        width = width * 4 * np.diff(axis).max()
        low = np.clip(x[np.arange(len(m)), at] - width / 2, 0, None)
    return best


def worst_of(name: str, draw: np.random.Generator, draws: int) -> tuple[float, float]:
    """Return the worst objective gap, in units of max(1, ½‖z‖²), and relative error of the value.

    Fails where a result is not finite, not odd or longer than its argument.
    """
    worst_gap, worst_value = 0.0, 0.0
    for _ in range(draws):
        hyper = hyper_parameters(draw, name)
        lam, step = decades(draw, -8, 4), decades(draw, -9, 5)
        if draw.uniform() < 0.7:
            lam, step = decades(draw, -3, 1), decades(draw, -3, 2)
        penalty = penalties.load(name, lam=lam, **hyper)
        z = arguments(draw, penalty, step)
        x = prox(penalty, z, step)
        assert np.isfinite(x).all()
        assert (np.abs(x) <= np.abs(z)).all()
        assert np.array_equal(prox(penalty, -z, step), -x)

        def value(x: Array, lam: float = lam, hyper: Hyper = hyper) -> Array:
            return VALUE[name](x, lam, hyper)

        m = np.abs(z)
        reached = 0.5 * ((np.abs(x) - m) ** 2).sum(-1) + step * value(np.abs(x))
        gap = (reached - brute_minimum(value, m, step)) / np.maximum(1, 0.5 * (m * m).sum(-1))
        worst_gap = max(worst_gap, float(gap.max()))
        told, known = penalty.value(torch.from_numpy(z)).numpy(), value(m)
        off = np.abs(told - known) / np.maximum(known, 1e-300)
        worst_value = max(worst_value, float(off[known > 0].max(initial=0)))
    return worst_gap, worst_value


def true_float32(m: Array, a: float, tau: float) -> Array:
    """Return the prox at float32 magnitudes in extended precision, by Newton from below."""
    m, a, tau = m.astype(np.longdouble), np.longdouble(a), np.longdouble(tau)
    convex = tau <= a * a / (2 * (a + 1))
    t = tau * (a + 1) / a if convex else np.sqrt(2 * tau * (a + 1)) - a / 2
    c, b, s = tau * a * (a + 1), m + a, np.zeros_like(m)
    for _ in range(70):  # halves its error at the double root, squares it elsewhere
        left = b - s
        slope = left * left - 2 * s * left
        rises = slope > 0
        move = np.where(rises, (s * left * left - c) / np.where(rises, slope, 1), 0)
        s = np.minimum(s - move, b / 3)
    return np.where(m > t, np.maximum(m - s, 0), 0)


def float32_errors(draw: np.random.Generator, draws: int) -> Iterator[float]:
    """Yield the worst error at each (a, τ) in units of 2 ulp of the result + 1e-5 shrinkage."""
    for turn in range(draws):
        a, tau = decades(draw, -3, 3), decades(draw, -9, 0)
        if turn % 3 == 0:  # near the branch the threshold is a double root
            sign = draw.choice([-1, 0, 1])
            tau = a * a / (2 * (a + 1)) * (1 + sign * decades(draw, -16, -1))
            tau = float(min(1, max(1e-9, tau)))
        t = threshold(a, tau)
        near, below = 10 ** draw.uniform(-8, 0, (2, 1500))
        m = np.concatenate([t * (1 + near), t * (1 - below), 10 ** draw.uniform(-12, 6, 2000)])
        m = m.astype(np.float32)
        x = penalties.load("tl1", a=a).prox(torch.from_numpy(m), tau).numpy()
        assert (x <= m).all()
        assert (x >= 0).all()
        truth = true_float32(m, a, tau)
        allowed = 2 * np.spacing(truth.astype(np.float32)) + 1e-5 * (m - truth)
        yield float((np.abs(x - truth) / allowed).max())


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    seed, draws = given if len(given) == 2 else (0, 40)
    draw = np.random.default_rng(seed)
    for name in penalties.names():
        gap, off = worst_of(name, draw, draws)
        sys.stdout.write(f"{name:20} objective gap {gap:.1e}   relative error of value {off:.1e}\n")
        sys.stdout.flush()
    worst = max(float32_errors(draw, 10 * draws))
    sys.stdout.write(f"tl1 in float32: error / (2 ulp + 1e-5 of the shrinkage) = {worst:.3f}\n")


if __name__ == "__main__":
    main()
