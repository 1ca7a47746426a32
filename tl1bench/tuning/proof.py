"""Proof on data that a compact network is the same function as the one that it was made of."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tl1bench.compaction import Compacted
from tl1bench.errors import CompactionError
from tl1bench.tracing import agreement
from tl1bench.tuning.adapters import Adapters, Draft

_MADE_UP = 32


@dataclass(frozen=True)
class Proof:
    """How far two networks agree on examples.

    `difference` is `agreement.difference` of their outputs in `precision`, `changed` the number of
    decided predictions that differ.
    """

    examples: int
    difference: float
    changed: int
    precision: str

    def __str__(self) -> str:
        return (
            f"outputs for {self.examples} examples differ by {self.difference:.1e} at most, in "
            f"{self.precision}, relative to the largest; {self.changed} predictions changed"
        )


@torch.no_grad()
def prove(
    model: nn.Module, small: Compacted, adapters: Adapters, inputs: Sequence[Tensor]
) -> Proof:
    """Compare a compact network with the one that it was made of, and refuse any difference.

    In float64 constants fold without rounding, so the same compaction is done again there; where a
    type is written into the network it runs in its own precision.

    Parameters
    ----------
    model
        The network before compaction, in eval mode.
    small
        What became of it.
    adapters
        What was switched on.
    inputs
        Examples, one tensor an input.

    Returns
    -------
    Proof
        How far they agree.

    Raises
    ------
    CompactionError
        They are not the same function on these examples.
    """
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    first = next((x.dtype for x in inputs if x.is_floating_point()), torch.float32)
    try:
        full = copy.deepcopy(model).double()
        given = [x.double() if x.is_floating_point() else x for x in small.example_inputs]
        networks = (full, Draft(full, tuple(given)).write(adapters).model)
        precision, allowed = "float64", agreement.FLOAT64
    except CompactionError:
        networks, wide, precision = (model, small.model), list(inputs), "the network's own type"
        allowed = agreement.rounding(first, depth=len(small.report.layers))
    before, after = (agreement.leaves(network(*wide)) for network in networks)
    proof = Proof(
        examples=len(inputs[0]),
        difference=agreement.difference(before, after),
        changed=agreement.changed_predictions(before[0], after[0], allowed),
        precision=precision,
    )
    if not proof.difference <= allowed or proof.changed:
        raise CompactionError(
            f"The compact network is not the same function ({proof}): please report this as a bug "
            "with the network."
        )
    return proof


def made_up(given: Sequence[Tensor], count: int = _MADE_UP) -> list[Tensor]:
    """Return `count` inputs: the given ones repeated, then noise of their mean and deviation."""
    random = torch.Generator().manual_seed(0)
    inputs = []
    for x in given:
        repeated = x[torch.arange(count) % len(x)]
        if x.is_floating_point():
            noise = torch.randn(repeated.shape, generator=random, dtype=x.dtype)
            repeated[count // 2 :] = (noise * x.std() + x.mean())[count // 2 :]
        inputs.append(repeated)
    return inputs
