"""Softmax over positions: channels stay what they are, their numbers no longer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import given
from tl1bench.tracing.channels import Ints, Known, Table, table
from tl1bench.tracing.condensed import tie_along
from tl1bench.tracing.factors import Axes, levels
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE


@dataclass(frozen=True, eq=False)
class Over:
    """Channels `ids` of the `source` as the result has them, along its `axes`.

    `level` is where in the source's the numbers lie that are normalised, None where these are
    positions; channels there `stay`, all or none, or are one that is positions from here on.
    """

    source: Table
    axes: Axes
    ids: Ints
    level: int | None
    stay: bool = False


class Softmax(Rule):
    """Every number depends on all others along one axis; channels there stay or go together.

    The scores of a layer with one row, whose only axis is squeezed away, lie along that axis as
    copies of one channel: from here on they are positions.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass labels on; every channel becomes live."""
        read = given(node)
        known = state.table(read["self"])
        dim = int(read["dim"]) % node.meta["val"].dim()
        over = None if known is None else self.over(known, dim, state)
        if over is None:
            return OPAQUE.forward(node, state)
        state.note(node, over)
        return table(over.axes, over.ids)

    def over(self, known: Table, dim: int, state: Analysis) -> Over | None:
        """Return what flows out; None where channels and positions lie along `dim`.

        Parameters
        ----------
        known
            What flows in.
        dim
            Along which axis numbers add up to 1.
        state
            The passes over the network.

        Returns
        -------
        Over or None
            What is normalised together.
        """
        axis = known.axes[dim]
        if not any(f.channel for f in axis):
            return Over(known, known.axes, known.ids, None)
        if len(axis) != 1:
            return None
        level = levels(known.axes).index(axis[0])
        first = known.ids.take([0], axis=level)
        if not (known.ids == first).all():
            tie_along(known.ids, level, state.channels)
            return Over(known, known.axes, known.ids, level, stay=True)
        own = (replace(axis[0], channel=False),) if axis[0].size > 1 else ()
        axes = (*known.axes[:dim], own, *known.axes[dim + 1 :])
        return Over(known, axes, first.squeeze(level), level)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channel that every used one is made of."""
        over, result = state.plan(node, Over), state.known(node)
        if over is None or result is None:
            return
        used = result.used
        if over.stay:
            used = np.asarray(used.any(axis=over.level, keepdims=True))
        elif over.level is not None:
            used = np.expand_dims(used, over.level)
        over.source.use(np.asarray(np.broadcast_to(used, over.source.ids.shape)))


SOFTMAX = Softmax()
OPS: dict[str, Rule] = dict.fromkeys(
    ("softmax", "_softmax", "log_softmax", "_log_softmax"), SOFTMAX
)
