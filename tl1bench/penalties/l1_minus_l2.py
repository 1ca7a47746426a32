"""ℓ1 minus ℓ2 of each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.penalties._base import Penalty, Range, Scale, Step, norms, restore_sign


@dataclass(frozen=True, kw_only=True)
class L1MinusL2(Penalty):
    """P(w) = λ Σ_g ( ‖w_g‖₁ − α‖w_g‖₂ ): zero for a group with at most one weight when α = 1.

    With τ = step·λ and the soft threshold y of z at τ: y(1 + ατ/‖y‖) where ‖z‖_∞ > τ; else one
    weight survives, the first largest, at |z_i| − (1−α)τ, if that is positive; else 0. Any τ ≥ 0.

    Parameters
    ----------
    alpha
        Weight of the subtracted norm, in [0, 1].

    Source: Lou & Yan, Fast L1−L2 minimization via a proximal operator, J. Sci. Comput. 74 (2018),
    lemma 1.
    """

    alpha: float = 1.0

    ranges: ClassVar[Mapping[str, Range]] = {"alpha": Range(0.0, 1.0)}

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return λ(‖w_g‖₁ − α‖w_g‖₂); see `Penalty.value`."""
        return self.lam * (w.abs().sum(-1) - self.alpha * norms(w))

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return the prox at `z`; see `Penalty.prox`."""
        tau = self.scalar_step(step) * self.lam
        m = z.abs().double()
        y = (m - tau).clamp_min(0)
        size = y.norm(dim=-1, keepdim=True)
        several = y * (1 + self.alpha * tau / size.clamp_min(torch.finfo(y.dtype).tiny))
        largest, place = m.max(dim=-1, keepdim=True)
        kept = (largest - (1 - self.alpha) * tau).clamp_min(0)
        single = torch.zeros_like(m).scatter_(-1, place, kept)
        x = torch.where(largest > tau, torch.minimum(several, m), torch.minimum(single, m))
        return restore_sign(x, z)
