"""Exclusive sparsity: the squared ℓ1 norm of each group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.penalties._base import Penalty, Scale, Step, restore_sign


@dataclass(frozen=True, kw_only=True)
class Exclusive(Penalty):
    """P(w) = (λ/2) Σ_g ‖w_g‖₁²: the members of a group compete.

    With τ = step·λ the prox is a soft threshold at level θ = τ Σ_i (|z_i| − θ)₊. It zeroes single
    weights, never a whole group. Valid for every τ ≥ 0.

    Parameters
    ----------
    as_coded
        Use the level τ‖z_g‖₁ of the published CGES code: that is no prox of anything, and
        thresholds too much.

    Source: Zhou, Jin & Hoi, Exclusive lasso (2010); Kowalski, Sparse regression using mixed norms
    (2009), for the prox; Yoon & Hwang, CGES (2017), for `as_coded`.
    """

    as_coded: bool = False

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return (λ/2)‖w_g‖₁²; see `Penalty.value`."""
        return 0.5 * self.lam * w.abs().sum(-1).square()

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return the soft threshold at the group's level; see `Penalty.prox`."""
        tau = self.scalar_step(step) * self.lam
        m = z.abs().to(torch.promote_types(z.dtype, torch.float32))
        if self.as_coded:
            level = tau * m.sum(-1, keepdim=True)
        else:
            level = exclusive_level(m, torch.full_like(m[..., :1], tau))
        return restore_sign((m - level).clamp_min(0), z)


def exclusive_level(m: Tensor, tau: Tensor) -> Tensor:
    """Return θ with θ = τ Σ_i (m_i − θ)₊ for each row of magnitudes.

    Parameters
    ----------
    m, tau
        (group, member) and (group, 1), both ≥ 0.
    """
    return _by_newton(m, tau) if m.is_cpu else _by_sorting(m, tau)


def _by_newton(m: Tensor, tau: Tensor) -> Tensor:
    """Go up from below on a piecewise linear, concave function: no sort, usually five steps."""
    level = torch.zeros_like(tau)
    for _ in range(m.shape[-1] + 1):
        active = m > level
        higher = tau * (m * active).sum(-1, keepdim=True)
        higher = higher / (1 + tau * active.sum(-1, keepdim=True))
        if bool((higher <= level).all()):
            break
        level = torch.maximum(level, higher)
    return level


def _by_sorting(m: Tensor, tau: Tensor) -> Tensor:
    """Take the highest of τ S_k/(1 + kτ), S_k the sum of the k largest: no card has to wait."""
    sums = m.sort(dim=-1, descending=True).values.cumsum(-1)
    count = torch.arange(1, m.shape[-1] + 1, dtype=m.dtype, device=m.device)
    return (tau * sums / (1 + tau * count)).amax(-1, keepdim=True)
