"""Capped ℓ1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Range, Step


@dataclass(frozen=True, kw_only=True)
class CappedL1(Elementwise):
    """P(w) = λ Σ min(|w_i|, θ).

    With τ = step·λ: soft threshold below θ + τ/2, identity above. Past τ > 2θ the soft threshold
    never wins against 0 and the prox is a hard threshold at √(2τθ).

    Parameters
    ----------
    theta
        The cap θ, > 0.

    Source: Zhang, JMLR 11 (2010); Gong et al., ICML (2013), for the prox.
    """

    theta: float = 0.1

    ranges: ClassVar[Mapping[str, Range]] = {"theta": Range(0.0, open_low=True)}

    def rho(self, m: Tensor) -> Tensor:
        """Return λ min(m, θ)."""
        return self.lam * m.clamp_max(self.theta)

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return soft threshold, identity or hard threshold."""
        tau = number(step * self.lam, m)
        theta = self.theta
        soft = tau <= 2 * theta
        jump = torch.where(soft, theta + tau / 2, (2 * tau * theta).sqrt())
        return torch.where(m > jump, m, (m - tau).clamp_min(0) * soft)
