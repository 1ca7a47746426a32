"""Maps of single numbers: activations, powers, clamps."""

from __future__ import annotations

import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Floats, Flow, Ints, Known, flow, push, table
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Unary(Rule):
    """f(x) of every number: constants go through f, channels stay what they are."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Push constants through the call with its own further arguments."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node) or len(node.all_input_nodes) > 1:
            return OPAQUE.forward(node, state)
        source = state.flows.get(source_node)
        if source is not None:
            return flow(source.axis, source.ids, self.pushed(node, source))
        several = state.table(source_node)
        if several is None:
            return OPAQUE.forward(node, state)
        row = flow(1, several.ids.reshape(-1), several.const.reshape(-1))
        const = self.pushed(node, row).reshape(several.ids.shape)
        return table(several.axes, several.ids, const)

    def pushed(self, node: fx.Node, source: Flow) -> Floats:
        """Return the constants that come out where constants go in."""
        value = node_of(node.args[0]).meta["val"]
        return push(
            source.const, source.axis, max(2, value.dim()), value.dtype,
            lambda x: node.target(x, *node.args[1:], **node.kwargs),  # type: ignore[operator]
        )  # fmt: skip

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result, source = state.known(node), None
        if isinstance(node.args[0], fx.Node):
            source = state.known(node.args[0])
        if result is not None and source is not None and result.ids is source.ids:
            result.pass_on(source)


class TypeAs(Unary):
    """x in the type of another tensor, of which no number is read."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Push constants through the change of type."""
        known = state.known(node_of(node.args[0]))
        if known is None:
            return OPAQUE.forward(node, state)
        kind = node.meta["val"].dtype
        row = flow(1, known.ids.reshape(-1), known.const.reshape(-1))
        const = push(row.const, 1, 2, node_of(node.args[0]).meta["val"].dtype, lambda x: x.to(kind))
        if isinstance(known, Flow):
            return flow(known.axis, known.ids, const)
        several = state.table(node.args[0])
        assert several is not None
        return table(several.axes, several.ids, const.reshape(several.ids.shape))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the type itself."""
        source = out.value(node.args[0])
        if source is None or out.state.known(node) is None or node in out.state.opaque:
            return out.copy(node)
        return out.write(torch.ops.aten.to.dtype, node, (source, node.meta["val"].dtype))


class Prelu(Unary):
    """Leaky ReLU with one learnt slope, or one a channel."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Push constants through with their own slopes."""
        source_node, slope_node = node.args[:2]
        slope = state.tensor(slope_node)
        assert isinstance(source_node, fx.Node)
        source = state.flows.get(source_node)
        if source is None or slope is None or source.axis != 1:
            return OPAQUE.forward(node, state)
        const = push(source.const, 1, 2, slope.dtype, lambda x: torch.prelu(x, slope))
        return flow(1, source.ids, const)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """One slope a channel makes the channel."""
        known, slope = state.flows.get(node), state.tensor(node.args[1])
        if known is None or slope is None or slope.numel() != len(known.ids) or len(known.ids) == 1:
            return []
        return [Slot(node_of(node.args[1]), 0, known.ids, "produced")]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the slopes that are left."""
        slope, known = out.state.tensor(node.args[1]), out.state.flows.get(node)
        source = out.value(node.args[0])
        if slope is None or known is None or slope.numel() == 1 or source is None:
            return out.copy(node)
        kept = out.sliced(node_of(node.args[1]), {0: self.kept_slopes(known, out)})
        return out.call(node, (source, out.tensor(node_of(node.args[1]), kept)))

    def kept_slopes(self, known: Flow, out: Emitter) -> Ints:
        """Return the slopes that stay: those of the channels that do."""
        return out.kept(known)


UNARY = Unary()
OPS: dict[str, Rule] = {
    "prelu": Prelu(), "_prelu_kernel": Prelu(), "type_as": TypeAs(),
    **dict.fromkeys(
        ("relu", "relu6", "hardtanh", "sigmoid", "tanh", "silu", "gelu", "hardswish", "hardsigmoid",
         "leaky_relu", "elu", "selu", "celu", "softplus", "log_sigmoid",
         "mish", "exp", "neg", "abs", "sqrt", "rsqrt", "pow", "square", "clamp", "clamp_min",
         "clamp_max", "log", "log1p", "sin", "cos", "erf", "reciprocal", "to", "_to_copy",
         "hardshrink", "softshrink", "threshold", "sign", "floor", "round",
         "rrelu", "rsub"),
        UNARY,
    ),
}  # fmt: skip
