"""A value that rearranges the channels of another one: views, permutes and parts in a row.

Every number of it is of one channel of `source`. Between a fused projection and the heads that
are cut out of it nothing has to be a tensor: a value is written from its source directly, as a
selection of channels, a view, a permute and a view, of which only those are written that do
something.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Ints
from tl1bench.tracing.factors import Axes, Axis, Factor, levels, renamed, single, viewed
from tl1bench.tracing.graph import stand_ins
from tl1bench.tracing.regular import extents
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Chain:
    """How a value lies: `place` has, for every factor of channels in turn, where in `source`.

    `free`: the source's channels lie along one axis, where any can be picked in any order.
    """

    source: fx.Node
    axes: Axes
    place: Ints
    free: bool

    def view(self, sizes: Sequence[int]) -> Chain | None:
        """Return the chain with other sizes; None where they cut across a factor."""
        axes = viewed(self.axes, sizes)
        if axes is None:
            return None
        return replace(self, axes=axes, place=self.place.reshape([f.size for f in levels(axes)]))

    def permute(self, order: Sequence[int]) -> Chain:
        """Return the chain with its axes in another order."""
        before = [
            (a, i) for a, axis in enumerate(self.axes) for i, f in enumerate(axis) if f.channel
        ]
        after = [(a, i) for a in order for i, f in enumerate(self.axes[a]) if f.channel]
        moved = self.place.transpose([before.index(own) for own in after])
        return replace(self, axes=tuple(self.axes[a] for a in order), place=moved)

    def fused(self) -> Chain:
        """Return the chain with neighbouring factors of channels of one axis as one."""
        axes = tuple(_fused(axis) for axis in self.axes)
        return replace(self, axes=axes, place=self.place.reshape([f.size for f in levels(axes)]))

    def take(self, axis: int, index: int | slice) -> Chain | None:
        """Return the chain of a part of one axis; None where that holds more than channels.

        Parameters
        ----------
        axis
            Along which axis.
        index
            One place, which leaves no axis, or a range of them.

        Returns
        -------
        Chain or None
            Of the part.
        """
        whole = self.fused()
        if len(whole.axes[axis]) != 1 or not whole.axes[axis][0].channel:
            return None
        (factor,) = whole.axes[axis]
        level = levels(whole.axes).index(factor)
        place = np.moveaxis(np.moveaxis(whole.place, level, 0)[index], 0, level) if isinstance(
            index, slice) else np.moveaxis(whole.place, level, 0)[index]  # fmt: skip
        own: tuple[Axis, ...] = ()
        if isinstance(index, slice):
            own = ((replace(factor, size=place.shape[level]),),)
        axes = (*whole.axes[:axis], *own, *whole.axes[axis + 1 :])
        return replace(whole, axes=axes, place=place)

    def in_order(self) -> bool:
        """Whether the channels lie in the order of the source."""
        return bool((np.diff(self.place.reshape(-1)) > 0).all())


@dataclass(frozen=True, eq=False)
class Arranged:
    """A call that rearranges: `members` has for each channel of the result those it is, (…, m)."""

    chain: Chain
    members: Ints


def _fused(axis: Axis) -> Axis:
    found: list[Factor] = []
    for factor in axis:
        if found and found[-1].channel and factor.channel:
            found[-1] = replace(found[-1], size=found[-1].size * factor.size)
        else:
            found.append(factor)
    return tuple(found)


def chain_of(operand: Any, state: Analysis) -> Chain | None:
    """Return the chain that a rearrangement of `operand` goes on from; None where it has none."""
    known = state.known(operand) if isinstance(operand, fx.Node) else None
    if known is None:
        return None
    own = state.plan(operand, Arranged)
    if operand in state.tables and own is not None and own.chain.free:
        return own.chain
    several = state.table(operand)
    assert several is not None
    axes = several.axes if operand in state.flows else renamed(several.axes)
    place = np.arange(known.ids.size).reshape(known.ids.shape)
    return Chain(operand, axes, place, operand in state.flows)


def write(node: fx.Node, chain: Chain, out: Emitter) -> fx.Node | None:
    """Write a value from its source; None when nothing of it is left.

    Parameters
    ----------
    node
        The call that it stands for.
    chain
        How the value lies; free.
    out
        The ledger that is written.

    Returns
    -------
    Node or None
        In the new graph.
    """
    value, origin = out.value(chain.source), out.state.flows[chain.source]
    chain = chain.fused()
    stays = out.keep[origin.ids]
    kept = stays[chain.place]
    if value is None or not kept.any():
        return None
    order = (np.cumsum(stays) - 1)[chain.place[kept]]
    if not np.array_equal(order, np.arange(stays.sum())):
        value = out.select(node, value, origin.axis, order)
    picked = {f.key: n for f, n in zip(levels(chain.axes), extents(kept), strict=True)}
    lying = [f for axis in chain.axes for f in axis]
    # Channels take the place of the source's axis, in the order in which they were picked.
    stored = sorted(lying, key=lambda f: (origin.axis,) if f.channel else f.key)
    source = single(stand_ins(chain.source), origin.axis)
    sizes = [extent(axis, {(origin.axis,): len(order)}) for axis in source]
    if stored != lying:
        value = _view(node, value, sizes, [extent((f,), picked) for f in stored], out)
        permute = [stored.index(f) for f in lying]
        value = out.write(torch.ops.aten.permute.default, node, (value, permute))
        sizes = [extent((f,), picked) for f in lying]
    return _view(node, value, sizes, [extent(axis, picked) for axis in chain.axes], out)


def extent(axis: Axis, picked: dict[tuple[int, ...], int]) -> int:
    """Return the size of an axis of which `picked` are left by factor."""
    return math.prod(picked.get(f.key, f.size) for f in axis)


def _view(
    node: fx.Node, value: fx.Node, before: list[int], after: list[int], out: Emitter
) -> fx.Node:
    if before == after:
        return value
    return out.write(torch.ops.aten.reshape.default, node, (value, out.sizes(after)))
