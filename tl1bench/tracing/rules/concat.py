"""Concatenation, and taking parts of the channels: slice, narrow, split, chunk, getitem."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints, flow
from tl1bench.tracing.graph import concrete, op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True)
class Along:
    """A concatenation along `dim` of values whose channels lie along `axis`."""

    dim: int
    axis: int


@dataclass(frozen=True, eq=False)
class Range:
    """Positions start, start + step, … before `stop` along `dim` of `source`."""

    source: fx.Node
    dim: int
    start: int
    stop: int
    step: int


class Cat(Rule):
    """Channels side by side; along any other dimension the parts' channels are one."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Lay the operands' channels end to end."""
        parts = list(node.args[0])  # type: ignore[arg-type]
        dim = int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
        dim %= node.meta["val"].dim()
        flows = [state.flows.get(p) for p in parts]
        first = flows[0]
        if first is None or dim == 0 or any(f is None for f in flows):
            return OPAQUE.forward(node, state)
        axis = first.axis
        known = [state.along(p, axis) for p in parts]
        state.note(node, Along(dim, axis))
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
        along = state.plan(node, Along)
        if along is None:
            return
        needed = state.flows[node].needed
        sources = [state.along(part, along.axis) for part in node.args[0]]  # type: ignore[union-attr, arg-type]
        starts = self.starts([len(source.ids) for source in sources])
        for source, start in zip(sources, starts, strict=True):
            inside = along.dim == along.axis
            source.use(needed[start : start + len(source.ids)] if inside else needed)

    def starts(self, counts: Sequence[int]) -> list[int]:
        """Return where the channels of each operand begin in the result."""
        return [sum(counts[:i]) for i in range(len(counts))]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the operands that have something left; one alone is no concatenation."""
        along = out.state.plan(node, Along)
        if along is None:
            return out.copy(node)
        parts = [out.value(p) for p in node.args[0]]  # type: ignore[union-attr]
        left = [p for p in parts if p is not None]
        if not left or (along.dim != along.axis and len(left) < len(parts)):
            return None
        return left[0] if len(left) == 1 else out.call(node, (left, *node.args[1:]))


class Part(Rule):
    """A range along one dimension: `slice`, `narrow`, or one piece of a `split`."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Take the labels of the range."""
        found = range_of(node)
        source = None if found is None else state.flows.get(found.source)
        if found is None or source is None or found.dim == 0:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        if found.dim != source.axis:
            return flow(source.axis, source.ids, source.const)
        piece = slice(found.start, found.stop, found.step)
        return flow(source.axis, source.ids[piece], source.const[piece])

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every needed channel, the one it is."""
        found = state.plan(node, Range)
        if found is None:
            return
        source, mask = state.flows[found.source], state.flows[node].needed
        if found.dim == source.axis:
            whole = np.zeros(len(source.ids), dtype=bool)
            whole[self.place(found, len(mask))] = mask
            mask = whole
        source.use(mask)

    def place(self, found: Range, count: int) -> slice:  # noqa: ARG002
        """Return where the `count` channels of the range lie in its operand."""
        return slice(found.start, found.stop, found.step)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the range among the channels that are left."""
        found = out.state.plan(node, Range)
        if found is None:
            return out.copy(node)
        known, source = out.state.flows[found.source], out.value(found.source)
        if source is None:
            return None
        bounds = (found.start, found.stop, found.step)
        if found.dim == known.axis:
            chosen: Bools = np.zeros(len(known.ids), dtype=bool)
            chosen[found.start : found.stop : found.step] = True
            place: Ints = np.flatnonzero(chosen[out.kept(known)])
            if not len(place):
                return None
            if len(place) == len(out.kept(known)):
                return source
            if len(place) != place[-1] - place[0] + 1:
                return out.select(node, source, found.dim, place)
            bounds = self.bounds(found, place)
        return out.write(torch.ops.aten.slice.Tensor, node, (source, found.dim, *bounds))

    def bounds(self, found: Range, place: Ints) -> tuple[int, int, int]:  # noqa: ARG002
        """Return start, stop and step of a range whose channels now lie at `place`, neighbours."""
        return int(place[0]), int(place[-1]) + 1, 1


class Pieces(Rule):
    """`split` itself: a tuple; each of its pieces is a range of the operand."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Nothing flows yet: the pieces are taken by getitem."""
        if _widths(node) is None:
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
            return PART.forward(node, state)
        return OPAQUE.forward(node, state)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """As the piece; a BatchNorm's result is the same flow already."""
        if state.plan(node, Range) is not None:
            PART.backward(node, state)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """As the piece, or as it stands."""
        return PART.emit(node, out)


def _widths(node: fx.Node) -> list[int] | None:
    """Return the widths of the pieces of a split; None when they depend on the batch."""
    pieces = node.meta.get("val")
    dim = arguments.given(node).get("dim", 0)
    if not isinstance(pieces, (list, tuple)) or not all(
        isinstance(p, torch.Tensor) for p in pieces
    ):
        return None
    widths = [p.shape[dim] for p in pieces]
    return widths if all(isinstance(w, int) for w in widths) else None


def piece_start(widths: Sequence[int], piece: int) -> int:
    """Return where a piece of a split begins."""
    return sum(widths[:piece])


def range_of(node: fx.Node) -> Range | None:
    """Return the range that a call takes; None when it depends on the batch."""
    return _piece(node) if op_name(node) == "getitem" else _slice(node)


def _piece(node: fx.Node) -> Range | None:
    owner, piece = arguments.node_of(node.args[0]), node.args[1]
    source, widths = owner.args[0], _widths(owner)
    if widths is None or not isinstance(source, fx.Node) or not isinstance(piece, int):
        return None
    dim = int(arguments.given(owner).get("dim", 0)) % source.meta["val"].dim()
    start = piece_start(widths, piece)
    return Range(source, dim, start, start + widths[piece], 1)


def _slice(node: fx.Node) -> Range | None:
    owner, read = arguments.node_of(node.args[0]), arguments.given(node)
    dim = int(read.get("dim", 0)) % owner.meta["val"].dim()
    extent, full = node.meta["val"].shape[dim], owner.meta["val"].shape[dim]
    start = read.get("start", 0)
    step = read.get("step", 1) if op_name(node) == "slice" else 1
    if not all(isinstance(v, int) for v in (extent, full, start or 0, step)):
        return None
    start = int(start or 0)
    start = start + full if start < 0 else min(start, full)
    return Range(owner, dim, start, min(full, start + concrete(extent, 2) * step), step)


PART = Part()
SPLITS = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
OPS: dict[str, Rule] = {
    "cat": Cat(),
    "concat": Cat(),
    "slice": PART,
    "narrow": PART,
    **dict.fromkeys(SPLITS, Pieces()),
}
FUNCTIONS = {operator.getitem: Item()}
