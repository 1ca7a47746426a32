"""Rows of a table picked by whole numbers: Embedding, EmbeddingBag, `table[index]`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, given
from tl1bench.tracing.channels import Floats, Known, flow
from tl1bench.tracing.counted import Counted
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

_SUM = 0


@dataclass(frozen=True)
class Picked:
    """The known `table`, a row for every number that `indices` may hold."""

    table: fx.Node
    indices: tuple[fx.Node, ...]


class Lookup(Rule):
    """A column of the table is a channel; one that holds the same number in all rows is a constant.

    Rows stay: which of them are asked for, only the input says.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start a channel for every column, live where its numbers differ."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        weight = state.tensor(found.table)
        assert weight is not None
        state.note(node, found)
        for index in found.indices:
            state.pin(index, f"read by {op_name(node)}")
        columns = state.channels.fresh(weight.shape[1])
        ndim = _value(node).dim()
        return flow(ndim - 1, columns, self.constants(node, weight))

    def read(self, node: fx.Node, state: Analysis) -> Picked | None:
        """Return what is looked up where; None when the table is not known or no matrix.

        Parameters
        ----------
        node
            The call.
        state
            The passes over the network.

        Returns
        -------
        Picked or None
            The table and the operands that choose rows.
        """
        operands = list(node.all_input_nodes)
        tables = [o for o in operands if state.tensor(o) is not None]
        if len(tables) != 1 or not self.takes_rows(node) or _value(node).dim() < 2:
            return None
        weight = state.tensor(tables[0])
        if weight is None or weight.dim() != 2 or node.all_input_nodes[0] is not tables[0]:
            return None
        return Picked(tables[0], tuple(o for o in operands if o is not tables[0]))

    def takes_rows(self, node: fx.Node) -> bool:
        """Whether the call picks along the first axis of its first operand, and nowhere else."""
        read = given(node)
        if op_name(node) == "index":
            return len(read["indices"]) == 1
        return int(read.get("dim", 0)) % 2 == 0

    def constants(self, node: fx.Node, weight: Tensor) -> Floats:  # noqa: ARG002
        """Return the number of every column whose rows all hold it, NaN for the others.

        Parameters
        ----------
        node
            The call.
        weight
            (row, column).

        Returns
        -------
        ndarray
            (column,).
        """
        first = weight[0].to(torch.float64).numpy()
        same = (weight == weight[:1]).all(dim=0).numpy()
        return np.where(same, first, np.nan)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that a column makes the channel."""
        found = state.plan(node, Picked)
        return [] if found is None else [Slot(found.table, 1, state.flows[node].ids, "produced")]

    def holds(self, node: fx.Node, state: Analysis) -> Counted | None:
        """Return the table; looking up multiplies nothing."""
        found = state.plan(node, Picked)
        if found is None:
            return None
        known, weight = state.flows[node], state.tensor(found.table)
        assert weight is not None
        ideal = int(known.needed.sum()) * len(weight)
        return Counted(state.label(found.table), known, len(weight), (found.table,), 0, ideal)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the columns that are left."""
        found = out.state.plan(node, Picked)
        if found is None:
            return out.copy(node)
        kept = out.kept(out.state.flows[node])
        if not len(kept):
            return None
        table = out.tensor(found.table, out.sliced(found.table, {1: kept}))
        return out.call(node, (table, *(out.argument(a) for a in node.args[1:])))


class Bag(Lookup):
    """Sums, means or maxima of rows: of an empty bag 0, so that only 0 is surely a constant."""

    def takes_rows(self, node: fx.Node) -> bool:
        """Say yes: the call can do nothing else."""
        del node
        return True

    def constants(self, node: fx.Node, weight: Tensor) -> Floats:
        """Return 0 for columns of zeros; the number of others where it is averaged in full bags."""
        const = super().constants(node, weight)
        if _always_full(node) and complete(node)["mode"] != _SUM:
            return const
        return np.where(const == 0, const, np.nan)


def _always_full(node: fx.Node) -> bool:
    """Whether bags are the rows of a matrix of indices, none of which is left out."""
    read = complete(node)
    offsets, padding = read["offsets"], read.get("padding_idx")
    if padding is not None and padding >= 0:
        return False
    if not isinstance(offsets, fx.Node) or op_name(offsets) != "arange":
        return False
    ends = given(offsets)
    step = ends.get("step", 0)
    return ends.get("start") == 0 and isinstance(step, int) and step > 0


def _value(node: fx.Node) -> Tensor:
    """Return the example of the looked-up vectors: the first of a bag's four results."""
    value = node.meta["val"]
    first: Tensor = value[0] if isinstance(value, (tuple, list)) else value
    return first


OPS: dict[str, Rule] = {
    **dict.fromkeys(("embedding", "index", "index_select"), Lookup()),
    "embedding_bag": Bag(),
}
