"""No penalty: what the dense baseline trains with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tl1bench.penalties._base import Elementwise, Penalty, Step


@dataclass(frozen=True, kw_only=True)
class NoPenalty(Elementwise):
    """P(w) = 0; the prox is the identity, for any step."""

    def rho(self, m: Tensor) -> Tensor:
        """Return zeros."""
        return m * 0

    def shrink(self, m: Tensor, step: Step) -> Tensor:  # noqa: ARG002
        """Return `m`."""
        return m

    def composition(self) -> tuple[Penalty, ...]:
        """Return nothing: there is nothing to apply."""
        return ()
