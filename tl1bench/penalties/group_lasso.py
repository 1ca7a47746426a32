"""Group lasso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels import group_lasso
from tl1bench.kernels.memory import number
from tl1bench.kernels.momentum import Queue
from tl1bench.kernels.tl1 import Packed
from tl1bench.penalties._base import Radial, Scale, Step

_NEWTON_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class GroupLasso(Radial):
    """P(w) = λ Σ_g s_g ‖w_g‖₂; prox (1 − τs_g/‖z_g‖)₊ z_g, 0 at z_g = 0, any τ = step·λ ≥ 0.

    With a tensor step τ_i the prox is that of the diagonal metric 1/τ_i: zero where
    ‖(z_i/τ_i)_i‖ ≤ 1, else x_i = r z_i/(r + τ_i) with the r > 0 that makes ‖(z_i/(r+τ_i))_i‖ = 1.

    Source: Yuan & Lin (2006); in the metric, Deleu & Bengio, Structured sparsity inducing
    adaptive optimizers for deep learning (2021), §3.
    """

    diagonal: ClassVar[bool] = True
    fuses: ClassVar[str] = group_lasso.WITH_TL1

    def radius_value(self, r: Tensor, scale: Step) -> Tensor:
        """Return λ s_g r."""
        return self.lam * scale * r

    def shrink_radius(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return (r − τs_g)₊ = r (1 − τs_g/r)₊."""
        return (r * self.factor(r, step, scale)).to(r.dtype)

    def factor(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return (1 − τs_g/r)₊, in few passes: training asks for it at every step."""
        share = r.clamp_min(torch.finfo(r.dtype).tiny).reciprocal_()
        return share.mul_(-step * self.lam * scale).add_(1).clamp_min_(0)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the prox at `z`; see `Penalty.prox`."""
        if not isinstance(step, Tensor) or step.numel() == 1:
            return super().prox(z, step, scale)
        s = number(self.scale_of(z, scale), z, torch.float64)
        tau = (step.double() * self.lam).expand(z.shape) * (s[:, None] if s.dim() else s)
        return _in_metric(z.double(), tau).to(z.dtype)

    def prox_rows_(
        self,
        rows: Sequence[Tensor],
        groups: int,
        steps: float | Sequence[Tensor],
        factor: float,
        scale: float,
        then: Sequence[Packed | None] | None = None,
        meanwhile: Queue | None = None,
    ) -> bool:
        """Apply the prox in place; see `Penalty.prox_rows_`."""
        if not isinstance(steps, float):
            return group_lasso.shorten_each_(rows, steps, groups, factor * self.lam * scale)
        amount = steps * factor * self.lam * scale
        return group_lasso.shorten_(rows, groups, amount, then, meanwhile)


def _in_metric(z: Tensor, tau: Tensor) -> Tensor:
    """Return argmin Σ (x_i−z_i)²/(2τ_i) + ‖x‖ of each row, by Newton on 1/‖z/(r+τ)‖ = 1.

    That function of r is concave and increasing, so Newton from below never passes the root.
    """
    free = tau == 0  # such a weight is not penalised: it only lengthens the norm
    size = (
        (z / tau.clamp_min(torch.finfo(z.dtype).tiny)).masked_fill(free & (z == 0), 0).norm(dim=1)
    )
    # Both are at most the norm that is sought.
    r = torch.maximum(z.norm(dim=1) - tau.amax(1), z.masked_fill(~free, 0).norm(dim=1))
    for _ in range(_NEWTON_STEPS):
        below = (r[:, None] + tau).clamp_min(torch.finfo(z.dtype).tiny)
        part = z / below
        square = part.square().sum(1)
        slope = (part.square() / below).sum(1)
        move = torch.where(square > 1, (square.sqrt() - 1) * square / slope, 0.0)
        r = r + move
        if _settled(move, r):
            break
    x = z * (r[:, None] / (r[:, None] + tau).clamp_min(torch.finfo(z.dtype).tiny))
    return torch.where((size <= 1)[:, None], 0.0, x)  # what is no number stays visible


def _settled(move: Tensor, r: Tensor) -> bool:
    """Whether the next of Newton's moves would be nil; no card has to wait for the answer."""
    return move.is_cpu and bool((move <= 1e-9 * r).all())
