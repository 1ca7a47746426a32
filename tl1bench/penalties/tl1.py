"""Transformed ℓ1 of single weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.tl1 import Packed, packed, prox_float32_, prox_float64
from tl1bench.penalties._base import Elementwise, Range, Scale, Step, restore_sign


@dataclass(frozen=True, kw_only=True)
class TransformedL1(Elementwise):
    """P(w) = λ Σ ρ_a(w_i), ρ_a(w) = (a+1)|w|/(a+|w|); a → 0⁺ counts, a → ∞ is ℓ1.

    The prox is a global minimiser for every τ = step·λ ≥ 0. It is zero where |z| ≤ t, with
    t = τ(a+1)/a if τ ≤ a²/(2(a+1)) (there the problem is convex and the prox continuous), else
    t = √(2τ(a+1)) − a/2, and |z| − s(|z|) elsewhere; `_shrinkage` has s. The branch depends on τ
    and so on the current learning rate.

    Parameters
    ----------
    a
        Shape, in [1e-6, 1e6].

    Source: Zhang & Xin, Math. Program. 169 (2018); Ma et al., Neural Networks 119 (2019).
    """

    a: float = 0.01

    ranges: ClassVar[Mapping[str, Range]] = {"a": Range(1e-6, 1e6)}

    def rho(self, m: Tensor) -> Tensor:
        """Return λ(a+1)m/(a+m)."""
        return self.lam * (self.a + 1) * (m / (self.a + m))

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the prox at magnitudes in float64."""
        return prox_float64(m, self.a, step * self.lam)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return the prox at `z`; see `Penalty.prox`."""
        if z.dtype == torch.float64 or isinstance(step, Tensor):
            tau = step.double() if isinstance(step, Tensor) else step
            return restore_sign(self.shrink(z.abs().double(), tau), z)
        return self.prox_(z.to(torch.float32, copy=True), step).to(z.dtype)

    def prox_(self, z: Tensor, step: Step) -> Tensor:
        """Apply the prox in place: in one pass where a C compiler was found."""
        if z.dtype != torch.float32 or isinstance(step, Tensor):
            return z.copy_(self.prox(z, step))
        return prox_float32_(z, self.a, step * self.lam)

    def packed(self, step: Step, factor: float) -> Packed | None:
        """Return what a C kernel of others needs to do this prox too; None where it cannot."""
        return None if isinstance(step, Tensor) else packed(self.a, step * factor * self.lam)
