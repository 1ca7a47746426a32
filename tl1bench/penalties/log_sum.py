"""Log-sum penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Range, Step


@dataclass(frozen=True, kw_only=True)
class LogSum(Elementwise):
    """P(w) = λ Σ log(1 + |w_i|/ε).

    With τ = step·λ the stationary point is |z| − s, s = 2τ/(b + √(b² − 4τ)), b = |z| + ε. For
    τ ≤ ε² the problem is convex and the prox zero up to τ/ε; beyond, the stationary point competes
    with 0 and the prox jumps where their objectives meet, which is decided by comparing them.

    Parameters
    ----------
    eps
        Smoothing ε, > 0.

    Source: Candès, Wakin & Boyd (2008); Prater-Bennette, Shen & Tripp (2022) for the jump.
    """

    eps: float = 0.1

    ranges: ClassVar[Mapping[str, Range]] = {"eps": Range(1e-6, 1e6)}

    def rho(self, m: Tensor) -> Tensor:
        """Return λ log(1 + m/ε)."""
        return self.lam * torch.log1p(m / self.eps)

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the better of 0 and the stationary point."""
        tau = number(step * self.lam, m)
        b = m + self.eps
        # b² − 4τ without cancellation of large squares.
        root = ((b - 2 * tau.sqrt()).clamp_min(0) * (b + 2 * tau.sqrt())).sqrt()
        x = (m - 2 * tau / (b + root)).clamp_min(0)
        gain = x * m - 0.5 * x * x - tau * torch.log1p(x / self.eps)
        kept = torch.where(tau <= self.eps**2, m > tau / self.eps, gain > 0)
        return torch.where(kept & (b * b >= 4 * tau), x, 0.0)
