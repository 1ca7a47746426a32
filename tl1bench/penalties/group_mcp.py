"""Minimax concave penalty of group norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tl1bench.penalties._base import Radial, Range, Step
from tl1bench.penalties.mcp import firm_threshold, mcp_value


@dataclass(frozen=True, kw_only=True)
class GroupMinimaxConcave(Radial):
    """P(w) = Σ_g MCP_{λs_g, γ}(‖w_g‖₂); the prox scales z_g to the scalar prox of its norm.

    Valid for every step: past step ≥ γ a group is kept whole or zeroed. See `mcp`.

    Parameters
    ----------
    gamma
        Concavity, > 0.

    Source: Breheny & Huang, Stat. Comput. 25 (2015), eq. (2.4).
    """

    gamma: float = 3.0

    homogeneous: ClassVar[bool] = False
    ranges: ClassVar[Mapping[str, Range]] = {"gamma": Range(0.0, open_low=True)}

    def radius_value(self, r: Tensor, scale: Step) -> Tensor:
        """Return MCP at norms."""
        return mcp_value(r, self.lam * scale, self.gamma)

    def shrink_radius(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return the firm threshold of norms."""
        return firm_threshold(r, step, self.lam * scale, self.gamma)
