"""A branch of a sum that is computed narrow and spread over the sum's channels afterwards."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Known, flow
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.writer import Emitter


def widen(branch: Tensor) -> Tensor:
    """Mark the place in a traced graph: the identity."""
    return branch


class Expand(Rule):
    """Between a branch and its sum: while switched on, the channels of the two are not tied.

    A channel of the sum that the branch no longer has takes a zero, or the constant that it was.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Give the sum channels of its own; a branch of constants alone is left as it is."""
        (branch,) = node.all_input_nodes
        source = state.flows.get(branch)
        if source is None or not node.meta["expand"] or not source.live.any():
            return source
        return flow(source.axis, state.channels.fresh(len(source.ids)), source.const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every used channel, the one it is."""
        result, source = state.flows.get(node), state.flows.get(node.all_input_nodes[0])
        if result is not None and source is not None and result is not source:
            source.use(result.used)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write a zero channel behind the branch, then pick from both in the sum's order."""
        (branch,) = node.all_input_nodes
        value, result = out.value(branch), out.state.flows.get(node)
        source = out.state.flows.get(branch)
        if value is None or result is None or source is None or result is source:
            return value
        has, wants = out.kept(source), out.kept(result)
        if np.array_equal(has, wants):
            return value
        place = np.full(len(source.ids), len(has))
        place[has] = np.arange(len(has))
        order = place[wants]
        if (order == len(has)).any():
            behind = node.meta["val"].dim() - 1 - result.axis
            # Pairs of (before, behind), the last dimension first.
            pads = [0, 0] * behind + [0, 1]
            value = out.graph.call_function(
                torch.ops.aten.constant_pad_nd.default, (value, pads, 0.0)
            )
        value = out.select(node, value, result.axis, order)
        lost = result.used & ~np.isin(np.arange(len(source.ids)), has)
        constant = np.where(lost, np.nan_to_num(result.const), 0.0)[wants]
        if not constant.any():
            return value
        shape = [len(wants)] + [1] * (node.meta["val"].dim() - 1 - result.axis)
        buffer = torch.from_numpy(constant).to(node.meta["val"].dtype).reshape(shape)
        return out.graph.call_function(
            torch.ops.aten.add.Tensor, (value, out.constant(node, buffer))
        )


OPS: dict[str, Rule] = {}
FUNCTIONS = {widen: Expand()}
