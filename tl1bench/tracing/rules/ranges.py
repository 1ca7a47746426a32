"""Parts of the channels along one axis: slice, narrow, split, chunk, unbind and their getitem."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Known, flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._several import Several
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.parts import TAKING
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Range:
    """Positions start, start + step, … before `stop` along `dim` of `source`."""

    source: fx.Node
    dim: int
    start: int
    stop: int
    step: int


class Part(Rule):
    """A range along one dimension: `slice`, `narrow`, or one piece of a `split`."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Take the labels of the range."""
        found = range_of(node)
        if found is not None and found.source in state.tables:
            piece = slice(found.start, found.stop, found.step)
            return TAKING.taken(node, found.source, found.dim, piece, state)
        source = None if found is None else state.flows.get(found.source)
        if found is None or source is None or found.dim == 0:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        if found.dim != source.axis:
            return flow(source.axis, source.ids, source.const)
        piece = slice(found.start, found.stop, found.step)
        return flow(source.axis, source.ids[piece], source.const[piece])

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every used channel, the one it is."""
        found = state.plan(node, Range)
        if found is None:
            TAKING.backward(node, state)
            return
        source, mask = state.flows[found.source], state.flows[node].used
        if found.dim == source.axis:
            whole = np.zeros(len(source.ids), dtype=bool)
            whole[self.place(found, len(mask))] = mask
            mask = whole
        source.use(mask)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """As any part of a tensor whose channels lie along several axes."""
        return TAKING.more(node, state, keep)

    def place(self, found: Range, count: int) -> slice:  # noqa: ARG002
        """Return where the `count` channels of the range lie in its operand."""
        return slice(found.start, found.stop, found.step)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the range among the channels that are left."""
        found = out.state.plan(node, Range)
        if found is None:
            return TAKING.emit(node, out)
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
    """`split` or `unbind` itself: a tuple; each of its pieces is a part of the operand."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Nothing flows yet: the pieces are taken by getitem."""
        known = op_name(node) == "unbind" or _widths(node) is not None
        if not known or state.known(arguments.node_of(node.args[0])) is None:
            return OPAQUE.forward(node, state)
        return None

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Nothing to write: the pieces are ranges, unless all of the operand is left."""
        source = out.state.known(arguments.node_of(node.args[0]))
        whole = source is None or bool(out.keep[source.ids].all())
        return out.copy(node) if whole or node in out.state.opaque else None


class Item(Rule):
    """`getitem`: a piece of a split, a result of a call of several, or part of something opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Find out which of them it is; nothing flows out of one that nobody reads."""
        owner = node.args[0]
        assert isinstance(owner, fx.Node)
        if not node.users:
            return None
        several = state.plan(owner, Several)
        if several is not None:
            return several.known[int(node.args[1])]  # type: ignore[arg-type]
        if owner in state.flows and node.args[1] == 0:
            return state.flows[owner]
        if owner in state.opaque or op_name(owner) not in (*SPLITS, "unbind"):
            return OPAQUE.forward(node, state)
        if op_name(owner) != "unbind":
            return PART.forward(node, state)
        source, place = arguments.node_of(owner.args[0]), node.args[1]
        dim = int(arguments.given(owner).get("dim", 0)) % source.meta["val"].dim()
        return TAKING.taken(node, source, dim, int(place), state)  # type: ignore[arg-type]

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """As the piece; a BatchNorm's result is the same flow already."""
        PART.backward(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """As the piece."""
        return PART.more(node, state, keep)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """As the piece, as its owner says, or as it stands."""
        several = out.state.plan(arguments.node_of(node.args[0]), Several)
        if several is not None:
            return several.write(node, int(node.args[1]), out)  # type: ignore[arg-type]
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
    return Range(owner, dim, start, min(full, start + extent * step), step)


PART = Part()
SPLITS = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk")
OPS: dict[str, Rule] = {
    "slice": PART,
    "narrow": PART,
    **dict.fromkeys((*SPLITS, "unbind"), Pieces()),
}
FUNCTIONS = {operator.getitem: Item()}
