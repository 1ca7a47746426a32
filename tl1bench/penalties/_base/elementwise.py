"""Penalties of single weights."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.penalties._base.penalty import Penalty, Scale, Step


@dataclass(frozen=True, kw_only=True)
class Elementwise(Penalty):
    """λ Σ_i ρ(w_i) with an even ρ; files below give ρ and its scalar prox."""

    elementwise: ClassVar[bool] = True
    diagonal: ClassVar[bool] = True

    @abstractmethod
    def rho(self, m: Tensor) -> Tensor:
        """Return λρ at magnitudes `m` ≥ 0, any shape."""

    @abstractmethod
    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the prox at magnitudes `m` ≥ 0, float64, as a magnitude ≤ m."""

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return λ Σ_i ρ(w_i) of each group; see `Penalty.value`."""
        return self.rho(w.abs()).sum(-1)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return the prox at `z`; see `Penalty.prox`."""
        # float64 inside: rounding the result to z's dtype is monotone, so no weight grows.
        m = z.abs().double()
        x = self.shrink(m, step.double() if isinstance(step, Tensor) else step)
        return restore_sign(x, z)


def restore_sign(magnitude: Tensor, z: Tensor) -> Tensor:
    """Return `magnitude` with the signs of `z`, in its dtype; zeros are +0."""
    return torch.where(magnitude == 0, magnitude, torch.copysign(magnitude, z)).to(z.dtype)
