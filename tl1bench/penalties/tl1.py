"""Transformed ℓ1 of single weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels import group_lasso, tl1
from tl1bench.kernels.card import Point
from tl1bench.penalties._base import Elementwise, Range, Scale, Step


@dataclass(frozen=True, kw_only=True)
class TransformedL1(Elementwise):
    """P(w) = λ Σ ρ_a(w_i), ρ_a(w) = (a+1)|w|/(a+|w|); a → 0⁺ counts, a → ∞ is ℓ1.

    The prox is a global minimiser for every τ = step·λ ≥ 0. It is zero where |z| ≤ t, with
    t = τ(a+1)/a if τ ≤ a²/(2(a+1)) (there the problem is convex and the prox continuous), else
    t = √(2τ(a+1)) − a/2, and |z| − s(|z|) elsewhere; `kernels.tl1` has s. The branch depends on τ
    and so on the current learning rate.

    Parameters
    ----------
    a
        Shape, in [1e-6, 1e6].

    Source: Zhang & Xin, Math. Program. 169 (2018); Ma et al., Neural Networks 119 (2019).
    """

    a: float = 0.01

    ranges: ClassVar[Mapping[str, Range]] = {"a": Range(1e-6, 1e6)}
    fuses: ClassVar[str] = group_lasso.WITH_TL1

    def rho(self, m: Tensor) -> Tensor:
        """Return λ(a+1)m/(a+m)."""
        return self.lam * (self.a + 1) * (m / (self.a + m))

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the prox at magnitudes in float64."""
        return tl1.prox(m, self.a, step * self.lam)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the prox at `z`; see `Penalty.prox`."""
        if z.dtype != torch.float64 and not isinstance(step, Tensor):
            x = z.to(torch.float32, copy=True)
            if tl1.shrink_(x, self.a, step * self.lam):
                return x.to(z.dtype)
        return super().prox(z, step, scale)

    def prox_(self, z: Tensor, step: Step, factor: float = 1.0) -> Tensor:
        """Apply the prox in place: in one pass where a C compiler was found."""
        done = (
            tl1.shrink_each_(z, step, factor * self.lam, self.a)
            if isinstance(step, Tensor)
            else tl1.shrink_(z, self.a, step * factor * self.lam)
        )
        return z if done else super().prox_(z, step, factor)

    def packed(self, step: Step, factor: float) -> tl1.Packed | None:
        """Return the constants of the shrinkage; see `Penalty.packed`."""
        return None if isinstance(step, Tensor) else tl1.packed(self.a, step * factor * self.lam)

    def point(self, step: float) -> Point | None:
        """Return the prox for a pass on a card; see `Penalty.point`."""
        packed = self.packed(step, 1.0)
        return None if packed is None else Point.of(packed)
