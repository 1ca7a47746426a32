"""Minimax concave penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Range, Step


@dataclass(frozen=True, kw_only=True)
class MinimaxConcave(Elementwise):
    """P(w) = Σ λ|w| − w²/(2γ) where |w| ≤ γλ, γλ²/2 beyond.

    The textbook prox (firm threshold) holds for step < γ. From step ≥ γ on the problem is concave
    between 0 and γλ, and the prox is a hard threshold at λ√(step·γ).

    Parameters
    ----------
    gamma
        Concavity, > 0.

    Source: Zhang, Ann. Statist. 38 (2010), eq. (2.1); the case step ≥ γ is derived here.
    """

    gamma: float = 3.0

    homogeneous: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, Range]] = {"gamma": Range(0.0, open_low=True)}

    def rho(self, m: Tensor) -> Tensor:
        """Return the penalty of magnitudes."""
        return mcp_value(m, self.lam, self.gamma)

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the firm threshold, past step ≥ γ the hard one."""
        return firm_threshold(m, step, self.lam, self.gamma)


def mcp_value(m: Tensor, lam: Step, gamma: float) -> Tensor:
    """Return λm − m²/(2γ), flat from γλ on; λ may be a tensor.

    Parameters
    ----------
    m
        Magnitudes ≥ 0.
    lam
        λ.
    gamma
        γ > 0.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    inside = torch.minimum(m, number(gamma * lam, m))
    return lam * inside - inside * inside / (2 * gamma)


def firm_threshold(m: Tensor, step: Step, lam: Step, gamma: float) -> Tensor:
    """Return the prox of MCP at magnitudes `m`; step and λ may be tensors.

    Parameters
    ----------
    m
        Magnitudes ≥ 0.
    step
        ≥ 0, one or one for each weight.
    lam
        λ.
    gamma
        γ > 0.

    Returns
    -------
    Tensor
        Magnitudes ≤ m.
    """
    step = number(step, m)
    convex = step < gamma
    slope = 1 - torch.where(convex, step, 0.0) / gamma
    # The quotient can pass m by rounding where both meet, at γλ.
    firm = torch.minimum((m - step * lam).clamp_min(0) / slope, m)
    firm = torch.where(m > gamma * lam, m, firm)
    hard = torch.where(m > lam * (step * gamma).sqrt(), m, 0.0)
    return torch.where(convex, firm, hard)
