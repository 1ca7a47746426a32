"""New tensors of given sizes that take but their type from another one."""

from __future__ import annotations

import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import given, node_of
from tl1bench.tracing.channels import Known
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


class Fresh(Rule):
    """One channel that stays; no number of the operand is read."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start the channel."""
        return OPAQUE.made(node, state)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call on what is left of the operand, or on an input where nothing is."""
        source = node_of(node.args[0])
        if source in out.state.traced.static or out.value(source) is not None:
            return out.copy(node)
        kind = node.meta["val"]
        like = next(n for n in out.graph.nodes if n.op == "placeholder")
        named = {"dtype": kind.dtype, "device": kind.device}
        sizes = out.argument(given(node)["size"])
        return out.write(torch.ops.aten.new_zeros.default, node, (like, sizes), named)


OPS: dict[str, Rule] = {"new_zeros": Fresh()}
