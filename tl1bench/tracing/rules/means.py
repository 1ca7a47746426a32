"""Means, sums and lengths over positions, and what is repeated along them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, flow, table
from tl1bench.tracing.condensed import tie_along
from tl1bench.tracing.factors import Factor, levels, renamed, size_of
from tl1bench.tracing.free import is_free
from tl1bench.tracing.graph import op_name, stand_ins
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._over_channels import OVER_CHANNELS, REPEATED
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.softmax import SOFTMAX, Over
from tl1bench.tracing.writer import Emitter


class Mean(Rule):
    """Mean, maximum, sum or length over positions, with or without keeping the dimensions."""

    across: ClassVar[Rule] = OVER_CHANNELS

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Drop the reduced dimensions."""
        source_node, read = node.args[0], arguments.complete(node)
        dims = read.get("dim")
        if not isinstance(source_node, fx.Node) or not isinstance(dims, (list, tuple)) or not dims:
            return OPAQUE.forward(node, state)
        source = state.flows.get(source_node)
        ndim = source_node.meta["val"].dim()
        over = {int(d) % ndim for d in dims}
        if source is not None and source.axis in over:
            return OVER_CHANNELS.forward(node, state)
        if source is None:
            return self.of_rows(node, source_node, over, state)
        if 0 in over:
            return OPAQUE.forward(node, state)
        axis = source.axis - (0 if read["keepdim"] else sum(1 for d in over if d < source.axis))
        return flow(axis, source.ids, self.kept(node, source.const))

    def kept(self, node: fx.Node, const: Floats) -> Floats:
        """Return the constants of which the result is one: 0 of sums and lengths."""
        if op_name(node) in ("sum", "linalg_vector_norm"):
            return np.where(const == 0, const, np.nan)
        return const

    def of_rows(
        self, node: fx.Node, operand: fx.Node, over: set[int], state: Analysis
    ) -> Known | None:
        """Drop dimensions where channels lie along several: of one level all stay or go together.

        Parameters
        ----------
        node, operand
            The call and what it reads.
        over
            The dimensions.
        state
            The passes over the network.

        Returns
        -------
        Known or None
            The channels of the result.
        """
        known = state.table(operand)
        summed = [] if known is None else [known.axes[d] for d in over]
        lost = [axis[0] for axis in summed if len(axis) == 1 and axis[0].channel]
        others = [f for axis in summed for f in axis if f.batch or (f.channel and f not in lost)]
        if known is None or others or len(lost) > 1:
            return OPAQUE.forward(node, state)
        keepdim = arguments.complete(node)["keepdim"]
        axes = renamed(tuple(() if place in over else axis for place, axis in enumerate(known.axes)
                             if keepdim or place not in over))  # fmt: skip
        if not lost:
            return table(axes, known.ids, self.kept(node, known.const))
        level = levels(known.axes).index(lost[0])
        tie_along(known.ids, level, state.channels)
        ids: Ints = known.ids.take([0], axis=level).squeeze(level)
        state.note(node, Over(known, axes, ids, level))
        return table(axes, ids, np.where((known.const == 0).all(axis=level), 0.0, np.nan))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        over, result = state.plan(node, Over), state.known(node)
        if over is not None:
            SOFTMAX.backward(node, state)
            return
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
    """Positions repeated, as often as is said or as another tensor has: channels stay."""

    across: ClassVar[Rule] = REPEATED

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on, or one channel to many."""
        source_node = node.args[0]
        if source_node in state.tables:
            return self.several(node, state)
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None or not isinstance(source_node, fx.Node) or _is_free(node):
            return OPAQUE.forward(node, state)
        axis = source.axis + node.meta["val"].dim() - source_node.meta["val"].dim()
        if node.meta["val"].shape[axis] != len(source.ids):
            return REPEATED.forward(node, state)
        return flow(axis, source.ids, source.const)

    def several(self, node: fx.Node, state: Analysis) -> Known | None:
        """Put positions along axes that had one."""
        known, shape = state.table(node.args[0]), stand_ins(node)
        assert known is not None
        if _is_free(node):
            return OPAQUE.forward(node, state)
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
        lying, given = out.state.table(node), node.args[1]
        assert lying is not None
        sizes = list(out.argument(given) if isinstance(given, (list, tuple)) else alike(node))
        for place, axis in enumerate(lying.axes):
            if any(f.channel for f in axis):
                sizes[place] = -1
        return out.write(torch.ops.aten.expand.default, node, (source, sizes))


def alike(node: fx.Node) -> list[int]:
    """Return the sizes of another tensor's axes, −1 for those that the operand has."""
    shape, own = stand_ins(node), stand_ins(node_of(node.args[0]))
    new, rest = shape[: len(shape) - len(own)], shape[len(shape) - len(own) :]
    kept = (-1 if size == before else size for size, before in zip(rest, own, strict=True))
    return [*new, *kept]


def _is_free(node: fx.Node) -> bool:
    """Whether a free size is that of another tensor."""
    return op_name(node) == "expand_as" and any(is_free(size) for size in alike(node))


OPS: dict[str, Rule] = {
    **dict.fromkeys(("mean", "amax", "amin", "sum", "linalg_vector_norm"), Mean()),
    **dict.fromkeys(("expand", "expand_as"), Expand()),
}
