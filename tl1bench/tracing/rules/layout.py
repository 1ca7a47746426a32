"""Operations that move numbers without changing them: views, permutes, shuffles, the identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.carrying import ORDERS, order
from tl1bench.tracing.channels import Bools, Ints, Known, table
from tl1bench.tracing.factors import Axes, lone_axis, settled
from tl1bench.tracing.graph import op_name, stand_ins
from tl1bench.tracing.regular import extents, product
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._chain import Arranged, Chain, chain_of, extent, write
from tl1bench.tracing.rules._shuffles import SHUFFLES
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter

_AS = ("view_as", "reshape_as")
_VIEWS = ("view", "reshape", "_unsafe_view", *_AS)
# Written as they stand whatever is left of the channels.
_PLAIN = (*ORDERS, "unsqueeze", "flatten")
_SAME = ("dropout", "feature_dropout", "alpha_dropout", "contiguous", "alias", "detach", "clone")


class Layout(Rule):
    """The factors of every axis are followed through views and permutes.

    After a flatten the positions of one channel share its label. Channels that a view splits lie
    along several axes, (heads, dims) say: that is a table. What is cut out of a tensor of channels
    along one axis is written from there (see `_chain`), so that a view which only a permute or
    another view reads need not be a tensor.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Rearrange the factors as the call does."""
        chain = chain_of(node.args[0], state)
        moved = None if chain is None else self.moved(node, chain)
        return self.arranged(node, moved, state)

    def arranged(self, node: fx.Node, moved: Chain | None, state: Analysis) -> Known | None:
        """Return what flows out of a call that gives the chain `moved`; None makes it opaque.

        Parameters
        ----------
        node
            The call.
        moved
            How its result lies.
        state
            The passes over the network.

        Returns
        -------
        Known or None
            The channels of the result.
        """
        done = None if moved is None else _settled(moved)
        if moved is None or done is None:
            return OPAQUE.forward(node, state)
        axes, members = done
        known = state.known(moved.source)
        assert known is not None
        ids, const = known.ids.reshape(-1)[members], known.const.reshape(-1)[members]
        axis, pinned = lone_axis(axes), state.channels.all_forced(ids.reshape(-1))
        if pinned and axis is not None and len(ids) != known.ids.size:
            # A flattened image: every pixel is an input of its own.
            state.pin(moved.source, "network input")
            return state.free(node, axis, "network input")
        members = self.flattened(members, known)
        for other in range(1, members.shape[-1]):
            state.channels.tie(ids[..., 0].reshape(-1), ids[..., other].reshape(-1))
        state.note(node, Arranged(moved, members))
        same = (const == const[..., :1]).all(axis=-1)
        ids = known.ids.reshape(-1)[members[..., 0]]
        return table(axes, ids, np.where(same, const[..., 0], np.nan))

    def flattened(self, members: Ints, known: Known) -> Ints:  # noqa: ARG002
        """Return the channels, of `known`, that each channel of the result is."""
        return members

    def moved(self, node: fx.Node, chain: Chain) -> Chain | None:
        """Return the chain as the call leaves it; None where it mixes factors."""
        name = op_name(node)
        if name in _SAME:
            return chain
        if name in ORDERS:
            return chain.permute(order(node, len(chain.axes)))
        if name in SHUFFLES:
            return SHUFFLES[name](chain, int(node.args[1])) if chain.free else None  # type: ignore[arg-type]
        return chain.view(stand_ins(node))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the channels that every used one is."""
        arranged, result = state.plan(node, Arranged), state.known(node)
        if arranged is None or result is None:
            return
        source = state.known(arranged.chain.source)
        assert source is not None
        source.used.reshape(-1)[arranged.members[result.used]] = True

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same places in all rows where rows and columns of a tensor change places."""
        arranged = state.plan(node, Arranged)
        if arranged is None or arranged.chain.free or arranged.chain.in_order():
            return []
        source = state.tables[arranged.chain.source].ids
        wanted = product(keep[source]) & ~keep[source]
        return [(source[wanted], f"equal rows of {op_name(node)}")]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call as it stands where that is possible, else from the chain's source."""
        arranged, result = out.state.plan(node, Arranged), out.state.known(node)
        if arranged is None or result is None:
            return self.as_it_is(node, out)
        value = out.value(node.args[0])
        if value is not None and _is_plain(node, arranged.chain, out):
            return self.as_it_is(node, out)
        if arranged.chain.free:
            return picked(node, arranged.chain, out)
        if value is None or not out.keep[result.ids].any():
            return None
        sizes = out.sizes(_sizes(node, out))
        return out.write(torch.ops.aten.reshape.default, node, (value, sizes))

    @staticmethod
    def as_it_is(node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the arguments that it has; the identity as nothing."""
        source = out.value(node.args[0])
        if op_name(node) in _SAME:
            return source
        if source is None or op_name(node) not in _VIEWS:
            return out.copy(node)
        # `reshape`, because a `contiguous` before the view is not written.
        alike = op_name(node) in _AS
        sizes = out.sizes(stand_ins(node)) if alike else out.argument(node.args[1])
        return out.write(torch.ops.aten.reshape.default, node, (source, sizes))


def picked(node: fx.Node, chain: Chain, out: Emitter) -> fx.Node | None:
    """Write a value from its chain's source, if what is left of it fills a tensor.

    Parameters
    ----------
    node
        The call that it stands for.
    chain
        How it lies; free.
    out
        The ledger that is written.

    Returns
    -------
    Node or None
        In the new graph.
    """
    if node in out.state.tables and node not in out.state.written:
        return None
    return write(node, chain, out)


def _is_plain(node: fx.Node, chain: Chain, out: Emitter) -> bool:
    """Whether the call does with what is left what it did with all."""
    source, name = out.state.known(chain.source), op_name(node)
    assert source is not None
    stays = out.keep[source.ids]
    if bool(stays.all()) or name in _SAME or name == "pixel_unshuffle":
        return True
    if name == "pixel_shuffle" and node.args[0] in out.state.flows:
        parts = stays.reshape(-1, int(node.args[1]) ** 2)  # type: ignore[arg-type]
        return bool((parts == parts[:, :1]).all())
    return name in _PLAIN and (node.args[0] in out.state.flows or not chain.free)


def _settled(chain: Chain) -> tuple[Axes, Ints] | None:
    """Return the axes of a value with one factor of channels each, and the members of each channel.

    Where channels lie behind positions along an axis, and others along another one, as behind a
    PixelShuffle, all that are told apart by that axis alone are one.
    """
    chain = chain.fused()
    behind = [any(f.channel for f in axis) and not axis[0].channel and not axis[0].batch
              for axis in chain.axes]  # fmt: skip
    holds = [any(f.channel for f in axis) for axis in chain.axes]
    axes, place = chain.axes, chain.place
    if any(behind) and sum(holds) > 1:
        if sum(holds) != sum(behind) + 1:
            return None
        order = [b for b, h in zip(behind, holds, strict=True) if h]
        place = np.moveaxis(place, order.index(False), 0)
        members = place.reshape(len(place), -1)
        axes = tuple(
            tuple(replace(f, channel=False) for f in axis) if b else axis
            for axis, b in zip(axes, behind, strict=True)
        )
        done = settled(axes, np.arange(len(members)))
        return None if done is None else (done[0], members[done[1]])
    done = settled(axes, place)
    return None if done is None else (done[0], done[1][..., None])


def _sizes(node: fx.Node, out: Emitter) -> list[int]:
    """Return the sizes of a view with as many channels as are left."""
    known = out.state.table(node)
    assert known is not None
    left = iter(extents(out.keep[known.ids]))
    return [extent(axis, {f.key: next(left) for f in axis if f.channel}) for axis in known.axes]


LAYOUT = Layout()
OPS: dict[str, Rule] = dict.fromkeys(
    (*_VIEWS, *ORDERS, *_SAME, *SHUFFLES, "flatten", "unflatten", "squeeze", "unsqueeze"), LAYOUT
)
