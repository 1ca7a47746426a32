"""Squared ℓ2, that is weight decay."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tl1bench.penalties._base import Elementwise, Step


@dataclass(frozen=True, kw_only=True)
class SquaredL2(Elementwise):
    """P(w) = (λ/2) Σ w_i²; prox z/(1+τ) with τ = step·λ, for any τ ≥ 0. Makes no zeros.

    Source: textbook; Parikh & Boyd, Proximal Algorithms (2014), §6.1.1.
    """

    def rho(self, m: Tensor) -> Tensor:
        """Return λm²/2."""
        return 0.5 * self.lam * m * m

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return m/(1+τ)."""
        return m / (1 + step * self.lam)

    def prox_(self, z: Tensor, step: Step, factor: float = 1.0) -> Tensor:
        """Apply the prox in place."""
        return z.div_(1 + step * factor * self.lam)
