"""Products of two tensors that both depend on the input: queries · keys, scores · values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, Table, table
from tl1bench.tracing.condensed import without_places
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._contraction import (
    Contraction,
    Side,
    agree,
    contraction,
    first_to_stay,
    whole,
)
from tl1bench.tracing.rules.affine import Affine
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.site import Site
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

_LETTERS = "abcdefgh"


class Product(Rule):
    """Σ_d q[h, n, d] k[h, m, d]: dim d of q and of k go together, head by head.

    A term is gone where either factor is the constant 0. The result has labels of its own, one a
    head: there it is a tensor of as many heads as the operands have. Where nothing of channels is
    summed over (scores times values), the result's channels are those of the values. Where both
    have channels that do not meet, those of one operand all stay, as positions do.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie what is multiplied; sum constants where all terms are known."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        first, second = found.sides
        if found.summed:
            state.channels.tie(*multiplied(first, second))
            ids = state.channels.fresh(int(np.prod(found.lead))).reshape(found.lead)
            return table(found.axes, ids, self.sums(first.const, second.const))
        if found.owner is None:
            state.channels.tie(*multiplied(first, second))
        owner = found.sides[found.owner or 0]
        shape = np.broadcast_shapes(first.shape, second.shape)
        zero = np.broadcast_to((first.const == 0) | (second.const == 0), shape)
        ids = np.broadcast_to(owner.ids, shape)
        return table(found.axes, ids, np.where(zero, 0.0, np.nan))

    def read(self, node: fx.Node, state: Analysis) -> Contraction | None:
        """Return how the operands meet; None where that is not known."""
        operands, letters = self.operands(node), self.letters(node)
        tables = [known for o in operands if (known := state.table(o)) is not None]
        if len(tables) != 2 or len(operands) != 2 or letters is None:
            return None
        found = contraction((tables[0], tables[1]), letters)
        found = found or self.beside(node, tables, letters, state)
        return found or self.head_by_head(node, tables, letters, state)

    def head_by_head(
        self, node: fx.Node, tables: Sequence[Table], letters: tuple[str, str, str], state: Analysis
    ) -> Contraction | None:
        """Return how operands with heads meet if the dims of one of them stay together.

        Parameters
        ----------
        node
            The call.
        tables, letters
            Channels of both operands, and a letter for every axis.
        state
            The passes over the network.

        Returns
        -------
        Contraction or None
            None where the heads do not meet either.
        """
        for place in (1, 0):
            axes, own = without_places(tables[place]), tables[1 - place]
            if axes is None:
                continue
            # Tried before: to ask for rows ties them.
            tried = table(axes, tables[place].ids[..., 0])
            if contraction((tried, own) if place == 0 else (own, tried), letters) is not None:
                rows = state.rows(self.operands(node)[place])
                return contraction((rows, own) if place == 0 else (own, rows), letters)
        return None

    def beside(
        self, node: fx.Node, tables: Sequence[Table], letters: tuple[str, str, str], state: Analysis
    ) -> Contraction | None:
        """Return how one operand that is read whole meets the channels of the other one.

        Parameters
        ----------
        node
            The call.
        tables, letters
            Channels of both operands, and a letter for every axis.
        state
            The passes over the network.

        Returns
        -------
        Contraction or None
            None where the other one has none, or both have heads.
        """
        for known in first_to_stay(tables, state):
            place = tables.index(known)
            read = [whole(t, state) if t is known else t for t in tables]
            found = contraction((read[0], read[1]), letters)
            if found is not None and found.owner == 1 - place:
                state.pin(self.operands(node)[place], f"read whole by {op_name(node)}")
                return found
        return None

    def operands(self, node: fx.Node) -> list[Any]:
        """Return the two operands."""
        return list(node.args[:2])

    def letters(self, node: fx.Node) -> tuple[str, str, str] | None:
        """Return a letter for every axis of the operands and of the result."""
        ndims = [o.meta["val"].dim() for o in self.operands(node)]
        if min(ndims) < 2:
            return None
        lead = _LETTERS[: max(ndims) - 2]
        first, second = (lead[len(lead) - n + 2 :] for n in ndims)
        return first + "xy", second + "yz", lead + "xz"

    def sums(self, first: Floats, second: Floats) -> Floats:
        """Return Σ over terms where all of them are known: a factor 0 makes a term 0."""
        gone = (first == 0) | (second == 0)
        terms: Floats = np.where(gone, 0.0, first * second)
        return np.asarray(terms.sum(axis=-1))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use both factors of every term that is not 0, and the constants that make one 0."""
        found = state.plan(node, Contraction)
        if found is None:
            return
        result, (first, second) = state.table(node), found.sides
        assert result is not None
        own = result.ids.shape + (1,) * (len(first.shape) - result.ids.ndim)
        used, live = result.used.reshape(own), result.live.reshape(own)
        for side, other in ((first, second), (second, first)):
            read = used & live & self.multiplies(other)
            side.use(np.asarray(read | (used & ~np.isnan(side.const))))

    def multiplies(self, other: Side) -> Bools:
        """Whether a factor counts beside another: not beside the constant 0."""
        counts: Bools = other.const != 0
        return counts

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same heads in both operands and in the result."""
        found, result = state.plan(node, Contraction), state.table(node)
        if found is None or result is None:
            return []
        shape = found.lead + result.ids.shape[len(found.lead) :]
        sides = (*found.sides, Side(result, shape, len(found.lead)))
        wanted = list(agree(sides, keep, f"heads of {op_name(node)}"))
        if found.summed:
            used = keep[result.ids] & result.used
            terms = self.constant_terms(*found.sides) & used.reshape(*used.shape, 1)
            ids = np.broadcast_to(found.sides[0].ids, terms.shape)[terms]
            wanted.append((ids, f"constants summed by {op_name(node)}"))
        return wanted

    def constant_terms(self, first: Side, second: Side) -> Bools:
        """Mark the terms that are a number other than 0: nothing needs them, yet they are added."""
        term = first.const * second.const
        marked: Bools = ~np.isnan(term) & (term != 0)
        return marked

    def products(self, node: fx.Node, state: Analysis) -> list[tuple[int, Ints]]:
        """One product; as many terms are left of it as channels that are summed, or result."""
        found, result = state.plan(node, Contraction), state.table(node)
        if found is None or result is None:
            return []
        extent = shape_of(self.operands(node)[0], batch=1)[-1]
        macs = math.prod(shape_of(node, batch=1)) * extent
        first, second = found.sides
        shared = first if first.ids.size >= second.ids.size else second
        return [(macs, shared.ids if found.summed else result.ids)]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call as it stands, if something of it is left."""
        result = out.state.table(node)
        if out.state.plan(node, Contraction) is None or result is None:
            return out.copy(node)
        return out.copy(node) if out.keep[result.ids].any() else None


def multiplied(first: Side, second: Side) -> tuple[Ints, Ints]:
    """Return the labels of the two factors of every term."""
    a, b = np.broadcast_arrays(first.ids, second.ids)
    return a.reshape(-1), b.reshape(-1)


class Matmul(Product):
    """A product with a known matrix is a layer, any other one is a product of two tensors."""

    def __init__(self, name: str) -> None:
        self.layer = Affine(name)

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """As a layer where a matrix is known."""
        known = any(state.tensor(o) is not None for o in node.all_input_nodes)
        return self.layer.forward(node, state) if known else super().forward(node, state)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """As a layer where a matrix is known."""
        if state.plan(node, Site) is not None:
            self.layer.backward(node, state)
        else:
            super().backward(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """As a layer where a matrix is known."""
        if state.plan(node, Site) is not None:
            return self.layer.more(node, state, keep)
        return super().more(node, state, keep)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """As a layer where a matrix is known."""
        return self.layer.slots(node, state)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """As a layer where a matrix is known."""
        if out.state.plan(node, Site) is not None:
            return self.layer.emit(node, out)
        return super().emit(node, out)


OPS: dict[str, Rule] = {"matmul": Matmul("matmul"), "mm": Matmul("mm"), "bmm": Product()}
