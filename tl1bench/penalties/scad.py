"""Smoothly clipped absolute deviation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Range, Step


@dataclass(frozen=True, kw_only=True)
class Scad(Elementwise):
    """λ|w| up to λ; (2aλ|w| − w² − λ²)/(2(a−1)) up to aλ; λ²(a+1)/2 beyond.

    The textbook prox (three pieces) holds for step < a−1. From there on the middle piece is
    concave and the prox jumps: soft threshold below λ(a+1+step)/2, identity above, and past
    step > a+1 a hard threshold at λ√(step(a+1)).

    Parameters
    ----------
    a
        Where the penalty goes flat, > 2.

    Source: Fan & Li, JASA 96 (2001), eq. (2.7); the cases step ≥ a−1 are derived here.
    """

    a: float = 3.7

    homogeneous: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, Range]] = {"a": Range(2.0, open_low=True)}

    def rho(self, m: Tensor) -> Tensor:
        """Return the penalty of magnitudes."""
        a, lam = self.a, self.lam
        middle = (2 * a * lam * m - m * m - lam * lam) / (2 * (a - 1))
        flat = torch.full_like(m, lam * lam * (a + 1) / 2)
        return torch.where(m <= lam, lam * m, torch.where(m <= a * lam, middle, flat))

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the three-piece threshold, past its validity the two-piece ones."""
        a, lam = self.a, self.lam
        step = number(step, m)
        soft = (m - step * lam).clamp_min(0)
        convex = step < a - 1
        slope = torch.where(convex, a - 1 - step, 1.0)
        middle = torch.minimum(((a - 1) * m - a * step * lam) / slope, m)
        smooth = torch.where(m <= lam * (1 + step), soft, torch.where(m <= a * lam, middle, m))
        jump = torch.where(step <= a + 1, (a + 1 + step) / 2, (step * (a + 1)).sqrt())
        return torch.where(convex, smooth, torch.where(m > lam * jump, m, soft * (step <= a + 1)))
