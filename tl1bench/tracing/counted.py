"""The weights that one call holds, as the report counts them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from tl1bench.tracing.channels import Ints, Known


@dataclass(frozen=True, eq=False)
class Counted:
    """A layer whose weights are no single matrix in normal form: a recurrent one, or a table.

    `units` are the channels it makes, `inputs` the labels of those that it reads, or a number where
    nothing can leave. One sample uses every number of `weights` `uses` times. `ideal` of them would
    be left if no other layer had a say.
    """

    name: str
    units: Known
    inputs: Ints | int
    weights: tuple[fx.Node, ...]
    uses: int
    ideal: int
