"""Combined group and exclusive sparsity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import PerLayer, Scale, Step, restore_sign
from tl1bench.penalties.exclusive import Exclusive, exclusive_level
from tl1bench.penalties.group_lasso import GroupLasso

_HALVINGS = 80


@dataclass(frozen=True, kw_only=True)
class Cges(PerLayer):
    """P(w) = λ Σ_g [ (1 − μ_l) s_g ‖w_g‖₂ + (μ_l/2) ‖w_g‖₁² ].

    A minimiser x of norm r > 0 is the exclusive prox of z/α with step τ_e/α, α = 1 + τ_g/r. The
    problem is convex, so r is the only root of ‖x(r)‖ = r, found by bisection; x = 0 where
    ‖z_g‖ ≤ τ_g. Valid for every step.

    Parameters
    ----------
    as_coded
        Group lasso, then exclusive sparsity at its `as_coded` level: a composition, not the prox.

    Source: Yoon & Hwang, Combined group and exclusive sparsity for deep neural networks, ICML
    (2017), eq. (5); the exact prox is derived here.
    """

    mu_first: float = 0.2
    mu_last: float = 0.8
    as_coded: bool = False

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return the sum of both terms; see `Penalty.value`."""
        return self._group().value(w, scale) + self._exclusive().value(w)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the joint prox, or the published composition; see `Penalty.prox`."""
        step = self.scalar_step(step)
        if self.as_coded:
            return self._exclusive().prox(self._group().prox(z, step, scale), step)
        m = z.abs().double()
        size = m.norm(dim=-1, keepdim=True)
        s = number(self.scale_of(z, scale), m)
        tau_group = step * self._group().lam * (s[:, None] if s.dim() else s)
        tau = torch.full_like(size, step * self._exclusive().lam)
        low, high = torch.zeros_like(size), size
        for _ in range(_HALVINGS):
            r = (low + high) / 2
            longer = _at_norm(m, tau, tau_group, r).norm(dim=-1, keepdim=True) > r
            low, high = torch.where(longer, r, low), torch.where(longer, high, r)
        x = _at_norm(m, tau, tau_group, high)
        return restore_sign(torch.where(size > tau_group, x, 0.0), z)

    def _group(self) -> GroupLasso:
        return GroupLasso(lam=self.lam * (1 - self.mixing), group_scale=self.group_scale)

    def _exclusive(self) -> Exclusive:
        return Exclusive(lam=self.lam * self.mixing, as_coded=self.as_coded)


def _at_norm(m: Tensor, tau: Tensor, tau_group: Tensor, r: Tensor) -> Tensor:
    """Return the exclusive prox of m/α with step τ/α, α = 1 + τ_g/r, as magnitudes."""
    share = r / (r + tau_group).clamp_min(torch.finfo(r.dtype).tiny)
    level = exclusive_level(m * share, tau * share)
    return (m * share - level).clamp_min(0)
