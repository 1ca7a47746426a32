"""New tensors of zeros."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import given
from tl1bench.tracing.channels import Known, flow
from tl1bench.tracing.graph import is_batch, op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


class Zeros(Rule):
    """Zeros (sample, channel), such as a loop begins with, are channels that hold 0.

    Any others are one channel that stays; no number of the operand is read.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start the channels."""
        shape = node.meta["val"].shape
        if len(shape) != 2 or not is_batch(node, shape[0]) or not isinstance(shape[1], int):
            return OPAQUE.made(node, state)
        return flow(1, state.channels.fresh(shape[1]), np.zeros(shape[1]))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call on what is left of the operand, or on an input where nothing is."""
        known, sizes = out.state.flows.get(node), out.argument(given(node)["size"])
        if known is not None:
            sizes = [out.size(node.meta["val"].shape[0]), len(out.kept(known))]
            if not sizes[1]:
                return None
        target = torch.ops.aten.new_zeros.default
        source = node.args[0] if op_name(node) == "new_zeros" else None
        if isinstance(source, fx.Node):
            like = out.argument(source)
            if like is not None:  # follows its type when the network is converted
                return out.write(target, node, (like, sizes), dict(node.kwargs))
        kind = node.meta["val"]
        like = next(n for n in out.graph.nodes if n.op == "placeholder")
        named = {"dtype": kind.dtype, "device": kind.device}
        return out.write(target, node, (like, sizes), named)


OPS: dict[str, Rule] = dict.fromkeys(("zeros", "new_zeros"), Zeros())
