"""What is left of a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tl1bench.tracing.channels import Bools, Ints

Gather = float | frozenset[str] | None
"""Where an index picks live inputs: from which dead share on, in which calls, or nowhere."""


@dataclass(frozen=True, eq=False)
class SlicedLayer:
    """What is left of a layer; `gather` are the inputs to pick before it, None for all."""

    weight: Tensor
    bias: Tensor | None
    groups: int
    gather: Ints | None
    live_inputs: int


def live_columns(weight: Tensor) -> Bools:
    """Mark the inputs to which some output gives a non-zero weight (one group, normal form)."""
    live: Bools = (weight != 0).any(dim=3).any(dim=1)[0].numpy()
    return live
