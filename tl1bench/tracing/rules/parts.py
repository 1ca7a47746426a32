"""One place or a range along an axis of a tensor whose channels lie along several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Bools, Ints, Known, Table
from tl1bench.tracing.factors import Axis, Factor, levels
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.regular import product
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._chain import Arranged, Chain, chain_of
from tl1bench.tracing.rules.layout import LAYOUT, picked
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Taken(Arranged):
    """The place or the range `index` along `dim` of the `operand`."""

    operand: fx.Node
    dim: int
    index: int | slice


class Taking(Rule):
    """A part along channels picks labels; along positions it leaves the channels what they are.

    What is cut out of channels along one axis is written from there. Out of a table that is a
    tensor, one place can only be cut where all rows keep the same places.
    """

    def taken(
        self, node: fx.Node, operand: fx.Node, dim: int, index: int | slice, state: Analysis
    ) -> Known | None:
        """Return what flows out of a part of `operand`.

        Parameters
        ----------
        node
            The call.
        operand
            What it takes a part of.
        dim
            Along which axis.
        index
            One place or a range with its three ends.
        state
            The passes over the network.

        Returns
        -------
        Known or None
            The channels of the part.
        """
        chain = chain_of(operand, state)
        if chain is None:
            return LAYOUT.arranged(node, None, state)
        if any(f.channel for f in chain.axes[dim]):
            moved = chain.take(dim, index)
        else:
            moved = _of_positions(operand, dim, index, state)
        known = LAYOUT.arranged(node, moved, state)
        arranged = state.plan(node, Arranged)
        if arranged is not None:
            state.note(node, Taken(arranged.chain, arranged.members, operand, dim, index))
        return known

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channels that every used one is."""
        LAYOUT.backward(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same places in all rows of a tensor that a part is cut out of."""
        taken = state.plan(node, Taken)
        if taken is None or taken.operand not in state.tables or taken.chain.free:
            return []
        source = state.tables[taken.operand]
        own = [f for f in source.axes[taken.dim] if f.channel]
        if not own or levels(source.axes).index(own[0]) == 0:  # whole rows
            return []
        wanted = product(keep[source.ids]) & ~keep[source.ids]
        return [(source.ids[wanted], f"equal rows of {op_name(node)}")]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the part of what is left."""
        taken, result = out.state.plan(node, Taken), out.state.known(node)
        if taken is None or result is None:
            return out.copy(node)
        source = out.state.known(taken.chain.source)
        assert source is not None
        if bool(out.keep[source.ids].all()) and out.value(node.args[0]) is not None:
            return out.copy(node)
        if taken.chain.free:
            return picked(node, taken.chain, out)
        value = out.value(taken.operand)
        if value is None or not out.keep[result.ids].any():
            return None
        return _written(node, value, taken, out)


def _of_positions(operand: fx.Node, dim: int, index: int | slice, state: Analysis) -> Chain | None:
    """Return the chain of a part along an axis without channels; None where samples lie there."""
    known = state.table(operand)
    assert known is not None
    if any(f.batch for f in known.axes[dim]) or any(f.channel for f in known.axes[dim]):
        return None
    own: tuple[Axis, ...] = ()
    if isinstance(index, slice):
        count = len(range(index.start, index.stop, index.step))
        own = ((Factor(count, False, (dim,)),) if count != 1 else (),)
    axes = (*known.axes[:dim], *own, *known.axes[dim + 1 :])
    return Chain(operand, axes, np.arange(known.ids.size).reshape(known.ids.shape), False)


def _written(node: fx.Node, value: fx.Node, taken: Taken, out: Emitter) -> fx.Node:
    known, index = out.state.table(taken.operand), taken.index
    assert isinstance(known, Table)
    own = known.axes[taken.dim]
    if own and own[0].channel:
        level = levels(known.axes).index(own[0])
        others = tuple(a for a in range(known.ids.ndim) if a != level)
        alive = np.asarray(out.keep[known.ids].any(axis=others))
        places = (np.cumsum(alive) - 1)[index]
        if isinstance(index, slice):
            left = places[alive[index]]
            return value if len(left) == alive.sum() else out.select(node, value, taken.dim, left)
        index = int(places)
    ops = torch.ops.aten
    if isinstance(index, int):
        return out.write(ops.select.int, node, (value, taken.dim, index))
    ends = (index.start, index.stop, index.step)
    return out.write(ops.slice.Tensor, node, (value, taken.dim, *ends))


class Select(Taking):
    """One place along an axis, such as the class token."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Take the part along whichever axis it is."""
        operand = node_of(node.args[0])
        dim = int(node.args[1]) % operand.meta["val"].dim()  # type: ignore[arg-type]
        if not isinstance(node.args[2], int):
            return LAYOUT.arranged(node, None, state)
        size = operand.meta["val"].shape[dim]
        index = node.args[2]
        if index < 0 and isinstance(size, int):
            index += size
        return self.taken(node, operand, dim, index, state)


TAKING = Taking()
OPS: dict[str, Rule] = {"select": Select()}
