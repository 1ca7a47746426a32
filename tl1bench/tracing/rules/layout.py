"""Operations that move numbers without changing them: flatten, view, permute, squeeze, shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis, Virtual
from tl1bench.tracing.channels import Flow, Ints, flow
from tl1bench.tracing.graph import is_batch, op_name, shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter

_VIEWS = ("view", "reshape", "_unsafe_view")


@dataclass(frozen=True, eq=False)
class Joined:
    """A channel shuffle, or the end of one: position i is channel `order[i]` of `origin`."""

    origin: fx.Node
    order: Ints


@dataclass(frozen=True, eq=False)
class Source:
    """What a call rearranges; `table` has the channel of `origin` that every number is of."""

    origin: fx.Node
    channels: Flow
    table: Ints
    virtual: bool


class Layout(Rule):
    """The channel of every number is followed through the real rearrangement.

    After a flatten the k positions of one channel share its label. Between a view that splits the
    channels and the one that joins them again (channel shuffle) they lie along two axes: such a
    value is virtual, and the joining view is written as one index_select of the original.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Rearrange an array of channel positions as the call does; read the axis off."""
        source = _source(node, state)
        if source is None:
            return OPAQUE.forward(node, state)
        moved = _rearrange(node, source.table)
        if moved is None or moved.shape[0] != source.table.shape[0]:
            return self._give_up(node, state, source.origin)
        axes = [a for a in range(moved.ndim) if (moved != moved.take([0], axis=a)).any()]
        if len(axes) > 1 or axes == [0]:
            pinned = state.channels.all_forced(source.channels.ids)
            if len(axes) != 2 or 0 in axes or pinned:
                return self._give_up(node, state, source.origin)
            state.note(node, Virtual(source.origin, moved))
            return None
        axis = axes[0] if axes else min(source.channels.axis, moved.ndim - 1)
        order = moved[tuple(slice(None) if a == axis else 0 for a in range(moved.ndim))]
        return self._joined(node, state, source, axis, order)

    def _joined(
        self, node: fx.Node, state: Analysis, source: Source, axis: int, order: Ints
    ) -> Flow:
        known = source.channels
        if source.virtual or op_name(node) == "channel_shuffle":
            state.note(node, Joined(source.origin, self.shuffled(order)))
        elif state.channels.all_forced(known.ids) and len(order) != len(known.ids):
            # A flattened image: every pixel is an input of its own.
            state.pin(source.origin, "network input")
            return state.free(node, axis, "network input")
        order = self.flattened(order, len(known.ids))
        return flow(axis, known.ids[order], known.const[order])

    def shuffled(self, order: Ints) -> Ints:
        """Return the channel of each position behind a shuffle."""
        return order

    def flattened(self, order: Ints, count: int) -> Ints:  # noqa: ARG002
        """Return the channel, of `count`, of each position of the result."""
        return order

    @staticmethod
    def _give_up(node: fx.Node, state: Analysis, origin: fx.Node) -> Flow | None:
        state.pin(origin, f"read or written by {op_name(node)}")
        return OPAQUE.forward(node, state)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channel that every needed position came from."""
        result, joined = state.flows.get(node), state.plan(node, Joined)
        if result is None or not isinstance(node.args[0], fx.Node):
            return
        source = state.flows.get(joined.origin if joined else node.args[0])
        if source is not None:
            source.use(np.isin(source.ids, result.ids[result.needed]))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the sizes that are left."""
        joined, result = out.state.plan(node, Joined), out.state.flows.get(node)
        if joined is not None and result is not None:
            return self._select(node, joined, result, out)
        if out.state.plan(node, Virtual) is not None:
            return out.deferred(node)
        source = out.value(node.args[0])
        cut = result is not None and len(out.kept(result)) < len(result.ids)
        if source is None or op_name(node) not in (_VIEWS if not cut else (*_VIEWS, "unflatten")):
            return out.copy(node)
        # `reshape`, because a `contiguous` before the view is not written.
        sizes = _sizes(node, result, out) if result and cut else out.argument(node.args[1])
        return out.write(torch.ops.aten.reshape.default, node, (source, sizes))

    @staticmethod
    def _select(node: fx.Node, joined: Joined, result: Flow, out: Emitter) -> fx.Node | None:
        source, whole = out.value(joined.origin), out.value(node.args[0])
        kept = out.kept(result)
        if len(kept) == len(result.ids) and whole is not None:
            if op_name(node) not in _VIEWS:
                return out.copy(node)
            target = torch.ops.aten.reshape.default
            return out.write(target, node, (whole, out.argument(node.args[1])))
        if source is None or not len(kept):
            return None
        known = out.state.flows[joined.origin]
        place = np.cumsum(out.keep[known.ids]) - 1
        return out.select(node, source, result.axis, place[joined.order[kept]])


def _source(node: fx.Node, state: Analysis) -> Source | None:
    operand = node.args[0]
    if not isinstance(operand, fx.Node):
        return None
    virtual = state.plan(operand, Virtual)
    if virtual is not None:
        return Source(virtual.origin, state.flows[virtual.origin], virtual.table, True)
    known = state.flows.get(operand)
    if known is None:
        return None
    table = _spread(np.arange(len(known.ids)), known.axis, shape_of(operand))
    return Source(operand, known, table, False)


def _sizes(node: fx.Node, result: Flow, out: Emitter) -> list[Any]:
    """Return the sizes of a view with as many channels as are left."""
    sizes: list[Any] = []
    for place, size in enumerate(node.meta["val"].shape):
        if place == result.axis:
            sizes.append(len(out.kept(result)))
        elif is_batch(size):
            sizes.append(out.batch())
        else:
            sizes.append(size if isinstance(size, int) else out.argument(node.args[1][place]))  # type: ignore[index]
    return sizes


def _spread(values: Ints, axis: int, shape: tuple[int, ...]) -> Ints:
    view = [1] * len(shape)
    view[axis] = len(values)
    return np.broadcast_to(values.reshape(view), shape)


def _rearrange(node: fx.Node, table: Ints) -> Ints | None:
    """Apply the call to an array of the operand's shape."""
    name = op_name(node)
    if name == "permute":
        return table.transpose([int(d) % table.ndim for d in node.args[1]])  # type: ignore[union-attr, arg-type]
    if name == "transpose":
        return table.swapaxes(int(node.args[1]), int(node.args[2]))  # type: ignore[arg-type]
    if name == "t":
        return table.T
    if name == "channel_shuffle":
        groups, channels = int(node.args[1]), table.shape[1]  # type: ignore[arg-type]
        return table[:, np.arange(channels).reshape(groups, -1).T.reshape(-1)]
    shape = shape_of(node)
    return table.reshape(shape) if int(np.prod(shape)) == table.size else None


OPS: dict[str, Rule] = dict.fromkeys(
    ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute",
     "transpose", "t", "channel_shuffle"),
    Layout(),
)  # fmt: skip
