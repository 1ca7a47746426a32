"""InstanceNorm: every channel of every sample by itself, over its positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of
from tl1bench.tracing.channels import Floats, Known, flow, push
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

_VECTORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Own:
    """The known vectors of a call, by their names."""

    vectors: dict[str, fx.Node]


class InstanceNorm(Rule):
    """y = γ (x − mean x)/√(var x + ε) + β: a channel that is constant or has γ = 0 comes out β."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Give constants to channels that are constant or have γ = 0."""
        given = complete(node)
        own = {name: given[name] for name in _VECTORS if given[name] is not None}
        operand = node_of(given["input"])
        if any(state.tensor(o) is None for o in own.values()) or state.tensor(operand) is not None:
            return OPAQUE.forward(node, state)
        state.note(node, Own(own))
        source = state.along(operand, 1)
        scale, shift, mean, variance = (state.tensor(own.get(name)) for name in _VECTORS)
        rest: Floats = np.zeros(len(source.ids))
        if shift is not None:
            rest = shift.to(torch.float64).numpy()
        const = np.where(source.live, np.nan, rest)
        if not given["use_input_stats"]:
            const = push(
                source.const, 1, 2, operand.meta["val"].dtype,
                lambda x: torch.nn.functional.batch_norm(
                    x, mean, variance, scale, shift, False, 0.0, float(given["eps"])
                ),
            )  # fmt: skip
        if scale is not None:
            const = np.where((scale == 0).numpy(), rest, const)
        return flow(1, source.ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        if state.plan(node, Own) is not None:
            state.flows[node].pass_on(state.along(node_of(node.args[0]), 1))

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """All vectors make the channel."""
        own = state.plan(node, Own)
        if own is None:
            return []
        return [Slot(o, 0, state.flows[node].ids, "produced") for o in own.vectors.values()]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with what is left of its vectors."""
        own, source = out.state.plan(node, Own), out.value(node.args[0])
        if own is None or source is None:
            return out.copy(node)
        kept = {0: out.kept(out.state.flows[node])}
        given = complete(node)
        given["input"] = source
        for name, operand in own.vectors.items():
            given[name] = out.tensor(operand, out.sliced(operand, kept))
        return out.write(node.target, node, tuple(given.values()))


OPS: dict[str, Rule] = {"instance_norm": InstanceNorm()}
