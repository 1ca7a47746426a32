"""Concatenation, and taking parts of the channels: slice, narrow, split, chunk, getitem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints, flow
from tl1bench.tracing.graph import concrete, op_name
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


class Cat(Rule):
    """Channels side by side; along any other dimension the parts' channels are one."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Lay the operands' channels end to end."""
        parts = list(node.args[0])  # type: ignore[arg-type]
        dim = int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
        ndim = node.meta["val"].dim()
        dim %= ndim
        flows = [state.flows.get(p) for p in parts]
        first = flows[0]
        if first is None or dim == 0 or any(f is None for f in flows):
            return OPAQUE.forward(node, state)
        axis = first.axis
        known = [state.along(p, axis) for p in parts]
        state.notes[node] = (dim, axis)
        if dim == axis:
            return flow(axis, np.concatenate([f.ids for f in known]),
                        np.concatenate([f.const for f in known]))  # fmt: skip
        const = known[0].const
        for other in known[1:]:
            state.channels.tie(known[0].ids, other.ids)
            const = np.where(const == other.const, const, np.nan)
        return flow(axis, known[0].ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every needed channel, the one it is."""
        if node not in state.notes:
            return
        (dim, axis), needed, start = state.notes[node], state.flows[node].needed, 0
        for part in node.args[0]:  # type: ignore[union-attr]
            source = state.along(part, axis)  # type: ignore[arg-type]
            if dim == axis:
                source.use(needed[start : start + len(source.ids)])
                start += len(source.ids)
            else:
                source.use(needed)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the operands that have something left; one alone is no concatenation."""
        if node not in out.state.notes:
            return out.copy(node)
        dim, axis = out.state.notes[node]
        parts = [out.value(p) for p in node.args[0]]  # type: ignore[union-attr]
        left = [p for p in parts if p is not None]
        if not left or (dim != axis and len(left) < len(parts)):
            return None
        return left[0] if len(left) == 1 else out.call(node, (left, *node.args[1:]))


class Part(Rule):
    """A range along one dimension: `slice`, `narrow`, or one piece of a `split`."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Take the labels of the range."""
        found = range_of(node)
        if found is None:
            return OPAQUE.forward(node, state)
        source_node, dim, start, stop, step = found
        source = state.flows.get(source_node)
        if source is None or dim == 0:
            return OPAQUE.forward(node, state)
        state.notes[node] = found
        if dim != source.axis:
            return flow(source.axis, source.ids, source.const)
        piece = slice(start, stop, step)
        return flow(source.axis, source.ids[piece], source.const[piece])

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every needed channel, the one it is."""
        if node not in state.notes:
            return
        source_node, dim, start, stop, step = state.notes[node]
        source, mask = state.flows[source_node], state.flows[node].needed
        if dim == source.axis:
            whole = np.zeros(len(source.ids), dtype=bool)
            whole[start:stop:step] = mask
            mask = whole
        source.use(mask)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the range among the channels that are left."""
        if node not in out.state.notes:
            return out.copy(node)
        source_node, dim, start, stop, step = out.state.notes[node]
        known, source = out.state.flows[source_node], out.value(source_node)
        if source is None:
            return None
        if dim == known.axis:
            chosen: Bools = np.zeros(len(known.ids), dtype=bool)
            chosen[start:stop:step] = True
            place: Ints = np.flatnonzero(chosen[out.kept(known)])
            if not len(place):
                return None
            if len(place) == len(out.kept(known)):
                return source
            if len(place) != place[-1] - place[0] + 1:
                return out.select(node, source, dim, place)
            start, stop, step = int(place[0]), int(place[-1]) + 1, 1
        return out.write(torch.ops.aten.slice.Tensor, node, (source, dim, start, stop, step))


class Pieces(Rule):
    """`split` itself: a tuple; each of its pieces is a range of the operand."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Nothing flows yet: the pieces are taken by getitem."""
        if _sizes(node) is None:
            return OPAQUE.forward(node, state)
        return None

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Nothing to write: the pieces are ranges."""
        return out.copy(node) if node in out.state.opaque else out.deferred(node)


class Item(Rule):
    """`getitem`: a piece of a split, the result of a BatchNorm, or part of something opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Find out which of the three it is; nothing flows out of one that nobody reads."""
        owner = node.args[0]
        assert isinstance(owner, fx.Node)
        if not node.users:
            return None
        if owner in state.flows and node.args[1] == 0:
            return state.flows[owner]
        if op_name(owner) in SPLITS and owner not in state.opaque:
            return _PART.forward(node, state)
        return OPAQUE.forward(node, state)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """As the piece; a BatchNorm's result is the same flow already."""
        if node in state.notes:
            _PART.backward(node, state)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """As the piece, or as it stands."""
        return _PART.emit(node, out) if node in out.state.notes else out.copy(node)


def _sizes(node: fx.Node) -> list[int] | None:
    """Return the widths of the pieces of a split; None when they depend on the batch."""
    pieces = node.meta.get("val")
    dim = _argument(node, "dim", 0)
    if not isinstance(pieces, (list, tuple)) or not all(
        isinstance(p, torch.Tensor) for p in pieces
    ):
        return None
    widths = [p.shape[dim] for p in pieces]
    return widths if all(isinstance(w, int) for w in widths) else None


def _argument(node: fx.Node, name: str, default: Any) -> Any:
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    return given.get(name, default)


def range_of(node: fx.Node) -> tuple[fx.Node, int, int, int, int] | None:
    """Return operand, dimension, start, stop and step; None when they depend on the batch."""
    owner = node.args[0]
    assert isinstance(owner, fx.Node)
    if op_name(node) == "getitem":
        source, widths, piece = owner.args[0], _sizes(owner), node.args[1]
        if widths is None or not isinstance(source, fx.Node) or not isinstance(piece, int):
            return None
        dim = int(_argument(owner, "dim", 0)) % source.meta["val"].dim()
        start = sum(widths[:piece])
        return source, dim, start, start + widths[piece], 1
    dim = int(_argument(node, "dim", 0)) % owner.meta["val"].dim()
    extent, full = node.meta["val"].shape[dim], owner.meta["val"].shape[dim]
    start = _argument(node, "start", 0)
    step = _argument(node, "step", 1) if op_name(node) == "slice" else 1
    if not all(isinstance(v, int) for v in (extent, full, start or 0, step)):
        return None
    start = int(start or 0)
    start = start + full if start < 0 else min(start, full)
    count = concrete(extent, 2)
    return owner, dim, start, min(full, start + count * step), step


_PART = Part()
SPLITS = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
OPS: dict[str, Rule] = {
    "cat": Cat(),
    "concat": Cat(),
    "slice": _PART,
    "narrow": _PART,
    **dict.fromkeys(SPLITS, Pieces()),
}
ITEM = Item()
