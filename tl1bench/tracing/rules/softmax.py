"""Softmax over positions: channels stay what they are, their numbers no longer."""

from __future__ import annotations

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import given
from tl1bench.tracing.channels import Known, Table, table
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE


class Softmax(Rule):
    """Every number depends on all others along one axis; over channels themselves it is opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass labels on; every channel becomes live."""
        read = given(node)
        known = state.table(read["self"])
        ndim = node.meta["val"].dim()
        if known is None or not self.is_over_positions(known, int(read["dim"]) % ndim):
            return OPAQUE.forward(node, state)
        state.note(node, known)
        return table(known.axes, known.ids)

    def is_over_positions(self, known: Table, dim: int) -> bool:
        """Whether nothing but positions lies along the axis."""
        return not any(f.channel for f in known.axes[dim])

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channel that every used one is made of."""
        source, result = state.plan(node, Table), state.known(node)
        if source is not None and result is not None:
            source.use(np.asarray(result.used))


OPS: dict[str, Rule] = dict.fromkeys(
    ("softmax", "_softmax", "log_softmax", "_log_softmax"), Softmax()
)
