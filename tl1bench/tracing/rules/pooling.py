"""Operations that mix or move positions but never channels: pooling, resizing, means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Bools, Ints, Known, flow, table
from tl1bench.tracing.factors import Factor, renamed, size_of
from tl1bench.tracing.graph import op_name, stand_ins
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.over_channels import OVER_CHANNELS, REPEATED
from tl1bench.tracing.writer import Emitter


class Pooling(Rule):
    """A constant plane stays that constant, unless padding lets zeros in."""

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on; a constant that meets padding becomes live."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node) or not self.is_batched(node):
            return OPAQUE.forward(node, state)
        source = state.along(source_node, 1)
        const = source.const
        if not self.exact and not is_plain_average(node):
            const = np.where(const == 0, const, np.nan)
        return flow(1, source.ids, const)

    def is_batched(self, node: fx.Node) -> bool:
        """Whether the first dimension is the batch: without one, it would be the channels."""
        return bool(node_of(node.args[0]).meta["val"].dim() == 2 + int(op_name(node)[-2]))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result, source = state.flows.get(node), node.args[0]
        if result is not None and isinstance(source, fx.Node):
            part = state.along(source, 1)
            if part.ids is result.ids:
                result.pass_on(part)


class Turn(Pooling):
    """`flip` and `roll`: positions change places; over channels they are opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on where other dimensions turn."""
        dims, source_node = node.args[-1], node.args[0]
        assert isinstance(source_node, fx.Node)
        assert isinstance(dims, (list, tuple))
        ndim = source_node.meta["val"].dim()
        if ndim < 3 or not dims or any(int(d) % ndim == 1 for d in dims):  # type: ignore[arg-type]
            return OPAQUE.forward(node, state)
        return super().forward(node, state)

    def is_batched(self, node: fx.Node) -> bool:  # noqa: ARG002
        """Any tensor may turn."""
        return True


def is_plain_average(node: fx.Node) -> bool:
    """Whether every output of an average pooling is a mean over positions that all exist."""
    read = arguments.given(node)
    return not is_padded(read) and not read.get("ceil_mode") and not has_divisor(read)


def is_padded(read: Mapping[str, Any]) -> bool:
    """Whether a pooling sees zeros around."""
    padding = read.get("padding", 0)
    return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)


def has_divisor(read: Mapping[str, Any]) -> bool:
    """Whether an average divides by another number than that of its positions."""
    return read.get("divisor_override") is not None


class Mean(Rule):
    """Mean, maximum or sum over positions, with or without keeping the dimensions."""

    across: ClassVar[Rule] = OVER_CHANNELS

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Drop the reduced dimensions."""
        source_node = node.args[0]
        dims = node.args[1] if len(node.args) > 1 else None
        if not isinstance(source_node, fx.Node) or not isinstance(dims, (list, tuple)) or not dims:
            return OPAQUE.forward(node, state)
        source = state.flows.get(source_node)
        ndim = source_node.meta["val"].dim()
        over = {int(d) % ndim for d in dims}
        if source is not None and source.axis in over:
            return OVER_CHANNELS.forward(node, state)
        if source is None or 0 in over:
            return OPAQUE.forward(node, state)
        keepdim = len(node.args) > 2 and bool(node.args[2])
        axis = source.axis - (0 if keepdim else sum(1 for d in over if d < source.axis))
        const = source.const
        if op_name(node) == "sum":
            const = np.where(const == 0, const, np.nan)
        return flow(axis, source.ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result = state.known(node)
        source = state.known(node.args[0]) if isinstance(node.args[0], fx.Node) else None
        if result is not None and source is not None and result.ids is source.ids:
            result.pass_on(source)
        else:
            self.across.backward(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """As the same over channels."""
        return self.across.more(node, state, keep)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call as it stands, or as the same over channels."""
        return self.across.emit(node, out)


class Expand(Mean):
    """Positions repeated: every channel stays what it is."""

    across: ClassVar[Rule] = REPEATED

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on, or one channel to many."""
        source_node = node.args[0]
        if source_node in state.tables:
            return self.several(node, state)
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None or not isinstance(source_node, fx.Node):
            return OPAQUE.forward(node, state)
        axis = source.axis + node.meta["val"].dim() - source_node.meta["val"].dim()
        if node.meta["val"].shape[axis] != len(source.ids):
            return REPEATED.forward(node, state)
        return flow(axis, source.ids, source.const)

    def several(self, node: fx.Node, state: Analysis) -> Known | None:
        """Put positions along axes that had one."""
        known, shape = state.table(node.args[0]), stand_ins(node)
        assert known is not None
        before = ((),) * (len(shape) - len(known.axes)) + known.axes
        if any(axis and size_of(axis) != n for axis, n in zip(before, shape, strict=True)):
            return OPAQUE.forward(node, state)
        axes = tuple(
            axis or ((Factor(n, False, ()),) if n != 1 else ())
            for axis, n in zip(before, shape, strict=True)
        )
        return table(renamed(axes), known.ids, known.const)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with as many channels as are left."""
        source, known = out.value(node.args[0]), out.state.known(node)
        before = out.state.known(node_of(node.args[0]))
        if source is None or known is None or before is None or known.ids is not before.ids:
            return self.across.emit(node, out)
        sizes, lying = [*out.argument(node.args[1])], out.state.table(node)
        assert lying is not None
        for place, axis in enumerate(lying.axes):
            if any(f.channel for f in axis):
                sizes[place] = -1
        return out.call(node, (source, sizes, *node.args[2:]))


_EXACT, _AVERAGE = Pooling(), Pooling(exact=False)
OPS: dict[str, Rule] = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
         "_adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
         "adaptive_max_pool2d", "adaptive_max_pool3d", "upsample_nearest1d", "upsample_nearest2d",
         "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d",
         "upsample_trilinear3d"),
        _EXACT,
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _AVERAGE),
    **dict.fromkeys(("mean", "amax", "amin", "sum"), Mean()),
    **dict.fromkeys(("flip", "roll"), Turn()),
    "expand": Expand(),
}  # fmt: skip
