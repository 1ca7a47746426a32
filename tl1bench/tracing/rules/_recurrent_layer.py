"""One call of a recurrent layer as the passes see it."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import torch
from torch import fx

from tl1bench.tracing.channels import Bools, Ints, Known
from tl1bench.tracing.rules._recurrence import Cells, Direction
from tl1bench.tracing.rules._several import Several
from tl1bench.tracing.rules._states import Start
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Layer(Several):
    """One call: labels of its `units` (direction, unit) and `outputs` (direction, output).

    Without a projection they are the same. `inner` is what is known of both inside the layer.
    """

    source: fx.Node
    time: int
    ways: tuple[Direction, ...]
    cells: tuple[Cells, ...]
    starts: tuple[Start, ...]
    units: Ints
    outputs: Ints
    inner: tuple[Known, Known]
    folds: bool
    shared: bool

    def write(self, node: fx.Node, place: int, out: Emitter) -> fx.Node | None:
        """Write one result; a direction that is left alone has run over turned positions."""
        value = out.value(node.args[0])
        if value is None:
            return None
        found = out.write(operator.getitem, node, (value, place))
        if place or not self.is_turned(out.keep):
            return found
        return out.graph.call_function(torch.ops.aten.flip.default, (found, [self.time]))

    def is_turned(self, keep: Bools) -> bool:
        """Whether of two directions only the one that runs backwards is left."""
        return len(self.units) > 1 and not keep[self.units[0]].any()
