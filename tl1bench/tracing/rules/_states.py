"""What a recurrent layer starts from: zeros, or a value whose channels are its units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Known, Table
from tl1bench.tracing.writer import Emitter
from tl1bench.tracing.zeros import is_zero


@dataclass(frozen=True, eq=False)
class Start:
    """The states (direction, sample, unit), or (sample, unit) of a cell, before the first step.

    `known` are their channels: None where they are all zero, tied to the units unless they stay
    whatever happens.
    """

    node: fx.Node
    known: Known | None

    @classmethod
    def of(cls, node: fx.Node, ids: Ints, state: Analysis) -> Start:
        """Read where the states come from; channels that can leave are tied to the units `ids`.

        Parameters
        ----------
        node
            The states.
        ids
            (direction, unit) labels.
        state
            The passes over the network.

        Returns
        -------
        Start
            The states.
        """
        if is_zero(node, state.traced.static):
            return cls(node, None)
        several = state.tables.get(node)
        if several is not None and _lies(several) == (True, False, True):
            whole = state.table(node)
            assert whole is not None
            known: Known = whole
        else:
            known = state.along(node, node.meta["val"].dim() - 1)
        if not state.channels.all_forced(known.ids.reshape(-1)):
            wide = np.broadcast_to(known.ids, ids.shape)
            state.channels.tie(wide.reshape(-1), ids.reshape(-1))
        return cls(node, known)

    @property
    def axis(self) -> int:
        """Return along which axis units lie; samples do along the one before."""
        return int(self.node.meta["val"].dim()) - 1

    def zero(self, count: int) -> Bools:
        """Return which states of which direction are zero: (direction, unit), or (1, unit)."""
        if self.known is None:
            return np.ones((1, count), dtype=bool)
        return np.asarray((self.known.const == 0).reshape(-1, count))

    def use(self, mask: Bools) -> None:
        """Mark the states of these (direction, unit) as used."""
        if self.known is not None:
            self.known.use(mask if self.known.ids.ndim == 2 else np.asarray(mask.any(axis=0)))

    def write(self, source: fx.Node, axis: int, left: Bools, out: Emitter) -> fx.Node:
        """Write the states of the units that are left.

        Parameters
        ----------
        source
            The input of the layer, in the new graph.
        axis
            Along which its samples lie.
        left
            (direction, unit) which units are left.
        out
            The ledger that is written.

        Returns
        -------
        Node
            In the new graph.
        """
        aten, rows = torch.ops.aten, np.flatnonzero(left.any(axis=1)).tolist()
        if self.known is None:
            samples = self.node.meta["val"].shape[self.axis - 1]
            batch = out.size(samples) if isinstance(samples, torch.SymInt) else (
                out.graph.call_function(aten.sym_size.int, (source, axis)))  # fmt: skip
            sizes: Any = [len(rows), batch, int(left[rows[0]].sum())][2 - self.axis :]
            # Follows the input when the network is converted or moved.
            return out.graph.call_function(aten.new_zeros.default, (source, sizes))
        whole: fx.Node = out.argument(self.node)
        has = np.broadcast_to(out.keep[self.known.ids], left.shape)
        if np.array_equal(has, left):
            return whole
        parts = []
        for row in rows:
            part = whole
            if len(left) > 1:
                part = out.graph.call_function(aten.slice.Tensor, (whole, 0, row, row + 1))
            order = (np.cumsum(has[row]) - 1)[left[row]]
            parts.append(out.select(self.node, part, self.axis, order))
        if len(parts) == 1:
            return parts[0]
        return out.graph.call_function(aten.cat.default, (parts, 0))


def _lies(known: Table) -> tuple[bool, ...]:
    """Return along which axes channels lie, and nothing else."""
    return tuple(len(axis) == 1 and axis[0].channel for axis in known.axes)
