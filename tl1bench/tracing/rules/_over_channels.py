"""Means, sums and lengths over the channels themselves, and one number spread over all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of
from tl1bench.tracing.channels import Bools, Flow, Ints, Known, flow, table
from tl1bench.tracing.factors import single
from tl1bench.tracing.graph import op_name, shape_of, stand_ins
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Reduced:
    """A call that makes one channel of all those of `source`."""

    source: Flow


class OverChannels(Rule):
    """Σ_c x_c: a channel that is 0 adds nothing. A mean of d among D channels is d/D of their own.

    mean_D x = (d/D) mean_d x + Σ c/D over the constants c that are gone. In other sums constants
    stay, unless they are 0.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start a channel, 0 where all others are."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        state.note(node, Reduced(found))
        const = np.array([0.0 if (found.const == 0).all() else np.nan])
        shape, ids = stand_ins(node), state.channels.fresh(1)
        if len(shape) == node_of(node.args[0]).meta["val"].dim():
            return flow(found.axis, ids, const)
        return table(single(shape, -1), ids.reshape(()), const.reshape(()))

    def read(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Return what is summed, if that is over channels and no samples; None otherwise."""
        operand, given = node.args[0], complete(node)
        source = state.flows.get(operand) if isinstance(operand, fx.Node) else None
        dims = given.get("dim")
        if source is None or not dims or not self.is_sum(node):
            return None
        over = {int(d) % node_of(operand).meta["val"].dim() for d in dims}
        return source if source.axis in over and 0 not in over else None

    def is_sum(self, node: fx.Node) -> bool:
        """Whether channels that are 0 do not count: not those of a least or largest number."""
        if op_name(node) != "linalg_vector_norm":
            return op_name(node) in ("mean", "sum")
        order = complete(node)["ord"]
        return isinstance(order, (int, float)) and 0 < order < float("inf")

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use every channel: of the constants, those that are 0 included, the exact value."""
        reduced, result = state.plan(node, Reduced), state.known(node)
        if reduced is not None and result is not None and result.used.any():
            state.mark_exact(reduced.source)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep constants that cannot be added afterwards, and one channel."""
        reduced, result = state.plan(node, Reduced), state.known(node)
        if reduced is None or result is None or not keep[result.ids].any():
            return []
        source = reduced.source
        wanted: list[tuple[Ints, str]] = []
        if op_name(node) != "mean":
            fixed = ~source.live & (source.const != 0)
            wanted.append((source.ids[fixed], f"constant that {op_name(node)} cannot fold"))
        if not keep[source.ids].any():
            wanted.append((source.ids[:1], f"last input of {op_name(node)}"))
        return wanted

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call; a mean is brought to what it was."""
        reduced, result = out.state.plan(node, Reduced), out.state.known(node)
        if reduced is None or result is None:
            return out.copy(node)
        kept = out.keep[reduced.source.ids]
        if not out.keep[result.ids].any() or not kept.any():
            return None
        value = out.copy(node)
        if op_name(node) != "mean" or kept.all() or value is None:
            return value
        ops, write = torch.ops.aten, out.graph.call_function
        value = write(ops.mul.Tensor, (value, self.share(kept)))
        constant = float(np.nan_to_num(reduced.source.const[~kept]).sum() / len(kept))
        return write(ops.add.Tensor, (value, constant)) if constant else value

    def share(self, kept: Bools) -> float:
        """Return d/D."""
        return float(kept.mean())


@dataclass(frozen=True, eq=False)
class Spread:
    """A call that repeats the one channel of `source` along the channels' axis."""

    source: Flow


class Repeated(Rule):
    """One channel repeated for many: it stays while any of them does."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Give the result the labels of what it is spread over, or new ones."""
        source = state.flows.get(node_of(node.args[0]))
        behind = node.meta["val"].dim() - node_of(node.args[0]).meta["val"].dim()
        if source is None or len(source.ids) != 1:
            return OPAQUE.forward(node, state)
        axis = source.axis + behind
        other = node.args[1]
        if isinstance(other, fx.Node):
            like = state.flows.get(other)
            if like is None or like.axis != axis:
                return OPAQUE.forward(node, state)
            ids = like.ids
        else:
            ids = state.channels.fresh(shape_of(node)[axis])
        state.note(node, Spread(source))
        return flow(axis, ids, np.repeat(source.const, len(ids)))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the one channel for every used one."""
        spread, result = state.plan(node, Spread), state.flows.get(node)
        if spread is not None and result is not None:
            spread.source.use(np.array([result.used.any()]))

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the one channel."""
        spread, result = state.plan(node, Spread), state.flows.get(node)
        if spread is None or result is None or not keep[result.ids].any():
            return []
        return [(spread.source.ids, f"one for all channels in {op_name(node)}")]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call for as many channels as are left."""
        spread, result = out.state.plan(node, Spread), out.state.flows.get(node)
        if spread is None or result is None:
            return out.copy(node)
        count = len(out.kept(result))
        if not count or isinstance(node.args[1], fx.Node):
            return out.copy(node) if count else None
        source = out.value(node.args[0])
        if source is None:
            return None
        sizes = [*out.argument(node.args[1])]
        sizes[result.axis] = count
        return out.call(node, (source, sizes, *node.args[2:]))


OVER_CHANNELS, REPEATED = OverChannels(), Repeated()
