"""Operations that move numbers without changing them: flatten, view, permute, squeeze, shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis, Virtual
from tl1bench.tracing.channels import Flow, Ints, flow
from tl1bench.tracing.graph import is_batch, op_name, shape_of
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Joined:
    """A channel shuffle, or the end of one: position i is channel `order[i]` of `origin`."""

    origin: fx.Node
    order: Ints


class Layout(Rule):
    """The channel of every number is followed through the real rearrangement.

    After a flatten the k positions of one channel share its label. Between a view that splits the
    channels and the one that joins them again (channel shuffle) they lie along two axes: such a
    value is virtual, and the joining view is written as one index_select of the original.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Rearrange an array of channel positions as the call does; read the axis off."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node):
            return OPAQUE.forward(node, state)
        virtual = state.notes.get(source_node)
        if isinstance(virtual, Virtual):
            origin, source, table = virtual.origin, state.flows[virtual.origin], virtual.table
        else:
            origin, found = source_node, state.flows.get(source_node)
            if found is None:
                return OPAQUE.forward(node, state)
            source = found
            table = _spread(np.arange(len(source.ids)), source.axis, shape_of(source_node))
        moved = _rearrange(node, table)
        if moved is None or moved.shape[0] != table.shape[0]:
            return self._give_up(node, state, origin)
        axes = [a for a in range(moved.ndim) if (moved != moved.take([0], axis=a)).any()]
        if len(axes) > 1 or (len(axes) == 1 and axes[0] == 0):
            channels_only = len(axes) == 2 and 0 not in axes
            if not channels_only or state.channels.all_forced(source.ids):
                return self._give_up(node, state, origin)
            state.notes[node] = Virtual(origin, moved)
            return None
        axis = axes[0] if axes else min(source.axis, moved.ndim - 1)
        order = moved[tuple(slice(None) if a == axis else 0 for a in range(moved.ndim))]
        if isinstance(virtual, Virtual) or op_name(node) == "channel_shuffle":
            state.notes[node] = Joined(origin, order)
        elif state.channels.all_forced(source.ids) and len(order) != len(source.ids):
            # A flattened image: every pixel is an input of its own.
            state.pin(source_node, "network input")
            return state.free(node, axis, "network input")
        return flow(axis, source.ids[order], source.const[order])

    @staticmethod
    def _give_up(node: fx.Node, state: Analysis, origin: fx.Node) -> Flow | None:
        state.pin(origin, f"read or written by {op_name(node)}")
        return OPAQUE.forward(node, state)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channel that every needed position came from."""
        note, result = state.notes.get(node), state.flows.get(node)
        if result is None or not isinstance(node.args[0], fx.Node):
            return
        if isinstance(note, Joined):
            source = state.flows[note.origin]
        else:
            found = state.flows.get(node.args[0])
            if found is None:
                return
            source = found
        source.use(np.isin(source.ids, result.ids[result.needed]))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the sizes that are left."""
        note, result = out.state.notes.get(node), out.state.flows.get(node)
        if isinstance(note, Joined) and result is not None:
            return self._select(node, note.origin, note.order, result, out)
        if isinstance(note, Virtual):
            return out.deferred(node)
        source = out.value(node.args[0])
        if source is None or op_name(node) not in ("view", "reshape", "_unsafe_view"):
            return out.copy(node)
        # `reshape`, because a `contiguous` before the view is not written.
        target = torch.ops.aten.reshape.default
        if result is None or len(out.kept(result)) == len(result.ids):
            return out.write(target, node, (source, out.argument(node.args[1])))
        sizes: list[Any] = []
        for place, size in enumerate(node.meta["val"].shape):
            if place == result.axis:
                sizes.append(len(out.kept(result)))
            elif is_batch(size):
                sizes.append(out.batch())
            else:
                sizes.append(size if isinstance(size, int) else out.argument(node.args[1][place]))  # type: ignore[index]
        return out.write(target, node, (source, sizes))

    @staticmethod
    def _select(
        node: fx.Node, origin: fx.Node, order: Ints, result: Flow, out: Emitter
    ) -> fx.Node | None:
        source, whole = out.value(origin), out.value(node.args[0])
        kept = out.kept(result)
        if len(kept) == len(result.ids) and whole is not None:
            if op_name(node) == "channel_shuffle":
                return out.copy(node)
            target = torch.ops.aten.reshape.default
            return out.write(target, node, (whole, out.argument(node.args[1])))
        if source is None or not len(kept):
            return None
        known = out.state.flows[origin]
        place = np.cumsum(out.keep[known.ids]) - 1
        return out.select(node, source, result.axis, place[order[kept]])


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
