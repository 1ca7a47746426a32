"""ℓ_{1/2}."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Step


@dataclass(frozen=True, kw_only=True)
class LHalf(Elementwise):
    """P(w) = λ Σ √|w_i|; half thresholding.

    With τ = step·λ: zero where |z| ≤ (3/2) τ^{2/3}, else
    ⅔ z (1 + cos(2π/3 − ⅔ arccos((τ/4)(|z|/3)^{−3/2}))), for every τ ≥ 0.

    Source: Xu, Chang, Xu & Zhang, L1/2 regularization, IEEE TNNLS 23 (2012), theorem 1.
    """

    def rho(self, m: Tensor) -> Tensor:
        """Return λ√m."""
        return self.lam * m.sqrt()

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the half threshold of magnitudes."""
        tau = number(step * self.lam, m)
        ratio = 3 * (tau / 4).pow(2 / 3) / m.clamp_min(torch.finfo(m.dtype).tiny)
        phi = torch.acos(ratio.clamp_max(1).pow(1.5))
        x = 2 / 3 * m * (1 + torch.cos(2 / 3 * (math.pi - phi)))
        return torch.where(m > 1.5 * tau.pow(2 / 3), torch.minimum(x, m), 0.0)
