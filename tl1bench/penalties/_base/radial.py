"""Penalties of the norms of groups."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.penalties._base.penalty import GroupScale, Penalty, Scale, Step


@dataclass(frozen=True, kw_only=True)
class Radial(Penalty):
    """A function of each group's norm ‖w_g‖₂ and s_g; the prox shortens the group as one."""

    group_scale: GroupScale = "sqrt"

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"group_scale": ("sqrt", "one")}

    @abstractmethod
    def radius_value(self, r: Tensor, scale: Step) -> Tensor:
        """Return λ-weighted P at norms `r` ≥ 0."""

    @abstractmethod
    def shrink_radius(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return the prox of norms `r` ≥ 0, same dtype, each ≤ r."""

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return P of each group; see `Penalty.value`."""
        return self.radius_value(norms(w), self.scale_of(w, scale))

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the prox at `z`; see `Penalty.prox`."""
        factor = self.factor(norms(z), self.scalar_step(step), self.scale_of(z, scale))
        return (z * factor[:, None]).to(z.dtype)

    def factor(self, r: Tensor, step: float, scale: Step) -> Tensor:
        """Return what each group is multiplied by, in [0, 1]; 0 at a zero group."""
        shorter = self.shrink_radius(r, step, scale)
        # The least positive number, not r, guards the division: 0/tiny is 0.
        return (shorter / r.clamp_min(torch.finfo(r.dtype).tiny)).clamp_max_(1.0)

    def scale_for(self, members: int) -> float:
        """Return √members or 1, as `group_scale` says."""
        return math.sqrt(members) if self.group_scale == "sqrt" else 1.0

    def scale_of(self, w: Tensor, scale: Scale) -> Step:
        """Return s_g of (group, member) weights: as given, else by their number."""
        return self.scale_for(w.shape[-1]) if scale is None else scale


def norms(w: Tensor) -> Tensor:
    """Return ‖w_g‖₂ of (group, member) weights in at least float32."""
    dtype = torch.float64 if w.dtype == torch.float64 else torch.float32
    found: Tensor = torch.linalg.vector_norm(w, dim=-1, dtype=dtype)
    return found
