"""Gated linear units: half of the channels, times the sigmoid of the other half."""

from __future__ import annotations

import numpy as np
from scipy.special import expit
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.channels import Flow, Known, flow
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE


class Glu(Rule):
    """a · σ(b): channel i of a and channel i of b live or die together."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie the halves; a constant comes out where both are constants, or a is 0."""
        read = complete(node)
        source = state.flows.get(read["self"])
        if source is None or source.axis != read["dim"] % node.meta["val"].dim():
            return OPAQUE.forward(node, state)
        (a, b), (value, gate) = np.split(source.ids, 2), np.split(source.const, 2)
        state.channels.tie(a, b)
        state.note(node, source)
        return flow(source.axis, a, np.where(value == 0, 0.0, value * expit(gate)))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use both halves of every used channel."""
        source = state.plan(node, Flow)
        if source is not None:
            source.use(np.tile(state.flows[node].used, 2))


OPS: dict[str, Rule] = {"glu": Glu()}
