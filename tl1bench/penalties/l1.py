"""ℓ1, the lasso penalty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.penalties._base import Elementwise, Step
from tl1bench.penalties._shrinkage import CHUNK, flat_view


@dataclass(frozen=True, kw_only=True)
class L1(Elementwise):
    """P(w) = λ‖w‖₁; prox sgn(z)(|z| − τ)₊, soft thresholding, with τ = step·λ, any τ ≥ 0.

    Source: textbook; Parikh & Boyd, Proximal Algorithms (2014), §6.5.2.
    """

    def rho(self, m: Tensor) -> Tensor:
        """Return λm."""
        return self.lam * m

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return (m − τ)₊."""
        return (m - step * self.lam).clamp_min(0)

    def prox_(self, z: Tensor, step: Step) -> Tensor:
        """Apply the prox in place."""
        if isinstance(step, Tensor):
            return z.copy_(self.prox(z, step))
        tau = step * self.lam
        flat = flat_view(z) if z.device.type == "cpu" else None
        # z minus its projection on [−τ, τ]: zeros come out exact, and parts stay in the cache.
        for part in (z,) if flat is None else flat.split(CHUNK):
            part.sub_(torch.clamp(part, -tau, tau))
        return z
