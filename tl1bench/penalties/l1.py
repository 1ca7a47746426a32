"""ℓ1, the lasso penalty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels.card import Point
from tl1bench.kernels.memory import flat_view
from tl1bench.penalties._base import Elementwise, Scale, Step

_CHUNK = 1 << 15  # temporaries of this many float32 stay in the processor's cache


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

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the prox at `z`; see `Penalty.prox`."""
        return self.prox_(z.clone(), step) if _exact(z, step) else super().prox(z, step, scale)

    def prox_(self, z: Tensor, step: Step, factor: float = 1.0) -> Tensor:
        """Apply the prox in place."""
        step = step * factor
        if isinstance(step, Tensor):
            if not _exact(z, step):
                return z.copy_(super().prox(z, step))
            return z.sub_(z.clamp(-step * self.lam, step * self.lam))
        tau = step * self.lam
        flat = flat_view(z) if z.device.type == "cpu" else None
        # z minus its projection on [−τ, τ]: zeros come out exact, and parts stay in the cache.
        for part in (z,) if flat is None else flat.split(_CHUNK):
            part.sub_(torch.clamp(part, -tau, tau))
        return z

    def point(self, step: float) -> Point | None:
        """Return the prox for a pass on a card; see `Penalty.point`."""
        return Point.soft(step * self.lam)


def _exact(z: Tensor, step: Step) -> bool:
    """Whether a threshold in the dtype of `z` is as good as one in float64."""
    return z.dtype in (torch.float32, torch.float64) and not (
        isinstance(step, Tensor) and step.dtype != z.dtype
    )
