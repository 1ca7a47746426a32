"""Sparse group lasso."""

from __future__ import annotations

from dataclasses import dataclass

from tl1bench.penalties._base import Composed, Penalty
from tl1bench.penalties.group_lasso import GroupLasso
from tl1bench.penalties.l1 import L1


@dataclass(frozen=True, kw_only=True)
class SparseGroupLasso(Composed):
    """P(w) = λ Σ_g [ μ_l s_g ‖w_g‖₂ + (1 − μ_l) ‖w_g‖₁ ].

    The prox is soft thresholding and then block soft thresholding: in this order the composition
    is the prox of the sum, for any step and in any diagonal metric, because shortening a group
    changes no sign.

    Source: Simon, Friedman, Hastie & Tibshirani (2013); Yu, On decomposing the proximal map (2013).
    """

    def terms(self) -> tuple[Penalty, ...]:
        """Return ℓ1, then group lasso."""
        return (
            L1(lam=self.lam * (1 - self.mixing)),
            GroupLasso(lam=self.lam * self.mixing, group_scale=self.group_scale),
        )
