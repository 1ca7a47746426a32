"""Transformed ℓ1 of group norms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.kernels import tl1
from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Radial, Range, Step


@dataclass(frozen=True, kw_only=True)
class GroupTransformedL1(Radial):
    """P(w) = λ Σ_g s_g ρ_a(‖w_g‖₂); the prox scales z_g to the scalar TL1 prox of its norm.

    A minimiser of a function of the norm alone lies along z_g, so this is exact, for every step.
    Long groups are hardly shortened, unlike by the group lasso.

    Parameters
    ----------
    a
        Shape, in [1e-6, 1e6]; compare it with group norms, not with single weights.
    """

    a: float = 1.0

    ranges: ClassVar[Mapping[str, Range]] = {"a": Range(1e-6, 1e6)}

    def radius_value(self, r: Tensor, scale: Step) -> Tensor:
        """Return λ s_g (a+1)r/(a+r)."""
        return self.lam * scale * (self.a + 1) * (r / (self.a + r))

    def shrink_radius(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return the TL1 prox of norms, in float64 inside."""
        tau = number(step * self.lam * scale, r, torch.float64)
        return tl1.prox(r.double(), self.a, tau).to(r.dtype)
