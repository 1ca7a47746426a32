"""ℓ0: the number of non-zero weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels.memory import number
from tl1bench.penalties._base import Elementwise, Step


@dataclass(frozen=True, kw_only=True)
class L0(Elementwise):
    """P(w) = λ #{i : w_i ≠ 0}; hard threshold at √(2τ), τ = step·λ, for any τ ≥ 0.

    Source: Blumensath & Davies, Iterative thresholding for sparse approximations (2008).
    """

    def rho(self, m: Tensor) -> Tensor:
        """Return λ where m is not zero."""
        return self.lam * (m != 0).to(m.dtype)

    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return m where it exceeds √(2τ)."""
        tau = number(step * self.lam, m)
        return torch.where(m > (2 * tau).sqrt(), m, 0.0)
