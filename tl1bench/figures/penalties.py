"""The transformed ℓ1 function between ℓ0 and ℓ1, and its proximal operator."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tl1bench.figures._style import INK, MUTED, WIDTH
from tl1bench.results.evidence import Evidence
from tl1bench.results.statistics import Floats

_STEP = 0.3
_SHAPES = ((0.01, "#7a2a00"), (0.1, "#D55E00"), (1.0, "#E69F00"), (10.0, "#0072B2"))


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:  # noqa: ARG001
    """Draw ρ_a and its prox for several a beside ℓ0 and ℓ1.

    Reads no column: data play no part.
    """
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    value, prox = figure.subplots(1, 2)
    w = np.linspace(-2.0, 2.0, 801)
    for a, color in _SHAPES:
        value.plot(w, rho(w, a), color=color, label=f"TL1, a = {a:g}")
        prox.plot(w, tl1_prox(w, a, _STEP), color=color)
    value.plot(w, np.abs(w), color=MUTED, ls="--", label="ℓ1")
    value.plot(w, np.where(w == 0, np.nan, 1.0), color=INK, ls=":", label="ℓ0")
    prox.plot(w, np.sign(w) * np.maximum(np.abs(w) - _STEP, 0), color=MUTED, ls="--")
    prox.plot(w, np.where(np.abs(w) > np.sqrt(2 * _STEP), w, 0.0), color=INK, ls=":")
    value.set(xlabel="w", ylabel="ρ(w)", title="penalty")
    prox.set(xlabel="z", ylabel="prox(z)", title=f"proximal operator, step {_STEP:g}")
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def rho(w: Floats, a: float) -> Floats:
    """Return ρ_a(w) = (a+1)|w| / (a+|w|)."""
    size = np.abs(w)
    return (a + 1) * size / (a + size)


def tl1_prox(z: Floats, a: float, step: float) -> Floats:
    """Return argmin_x ½(x−z)² + step·ρ_a(x), by the closed form in float64 (Zhang and Xin 2018).

    Parameters
    ----------
    z
        Any shape.
    a, step
        Positive.

    Returns
    -------
    ndarray
        The shape of `z`.
    """
    convex = step <= a**2 / (2 * (a + 1))
    threshold = step * (a + 1) / a if convex else np.sqrt(2 * step * (a + 1)) - a / 2
    size = np.abs(z)
    cosine = 1 - 27 * step * a * (a + 1) / (2 * (a + size) ** 3)
    phi = np.arccos(np.clip(cosine, -1, 1))
    shrunk = 2 / 3 * (a + size) * np.cos(phi / 3) - 2 * a / 3 + size / 3
    return np.where(size > threshold, np.sign(z) * shrunk, 0.0)


def caption(table: pd.DataFrame, evidence: Evidence) -> str:  # noqa: ARG001
    """Return what is shown."""
    return (
        "Left: the transformed ℓ1 function ρ_a(w) = (a+1)|w| / (a+|w|), which approaches the ℓ0 "
        "count as a → 0 and ℓ1 as a → ∞. Right: its proximal operator at step "
        f"{_STEP:g}: small values become exactly zero, large ones are hardly shrunk unless a is "
        "large. A drawing of formulas, not of results."
    )
