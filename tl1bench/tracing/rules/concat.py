"""Concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Known, Table, flow, table
from tl1bench.tracing.factors import Axes, levels, renamed
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True)
class Along:
    """A concatenation along `dim` of values whose channels lie along `axis`."""

    dim: int
    axis: int


@dataclass(frozen=True, eq=False)
class Joined:
    """Tables side by side along the last level of their channels."""

    parts: tuple[Table, ...]


class Cat(Rule):
    """Channels side by side; along any other dimension the parts' channels are one."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Lay the operands' channels end to end."""
        parts = list(node.args[0])  # type: ignore[arg-type]
        dim = int(node.args[1]) if len(node.args) > 1 else 0  # type: ignore[arg-type]
        dim %= node.meta["val"].dim()
        if any(p in state.tables for p in parts):
            return self.joined(node, parts, dim, state)
        flows = [state.flows.get(p) for p in parts]
        first = flows[0]
        samples = dim == 0 and any(not isinstance(p.meta["val"].shape[0], int) for p in parts)
        if first is None or samples or any(f is None for f in flows):
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

    def joined(
        self, node: fx.Node, parts: Sequence[Any], dim: int, state: Analysis
    ) -> Known | None:
        """Lay tables side by side along the last level of their channels.

        Parameters
        ----------
        node
            The call.
        parts
            Its operands.
        dim
            Along which axis they lie side by side.
        state
            The passes over the network.

        Returns
        -------
        Known or None
            The channels of the result.
        """
        tables = [known for part in parts if (known := state.table(part)) is not None]
        if len(tables) < len(parts) or len({_but_one(t.axes, dim) for t in tables}) > 1:
            return OPAQUE.forward(node, state)
        first = tables[0].axes
        if any(not t.axes[dim] or list(t.axes[dim]) != levels(t.axes)[-1:] for t in tables):
            return OPAQUE.forward(node, state)
        state.note(node, Joined(tuple(tables)))
        whole = replace(first[dim][0], size=sum(t.axes[dim][0].size for t in tables))
        return table(
            renamed((*first[:dim], (whole,), *first[dim + 1 :])),
            np.concatenate([t.ids for t in tables], axis=-1),
            np.concatenate([t.const for t in tables], axis=-1),
        )

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use, for every used channel, the one it is."""
        along, joined, result = state.plan(node, Along), state.plan(node, Joined), state.known(node)
        if joined is not None and result is not None:
            ends = np.cumsum([t.ids.shape[-1] for t in joined.parts])[:-1]
            for part, used in zip(joined.parts, np.split(result.used, ends, axis=-1), strict=True):
                part.use(used)
        if along is None:
            return
        used = state.flows[node].used
        sources = [state.along(part, along.axis) for part in node.args[0]]  # type: ignore[union-attr, arg-type]
        starts = self.starts([len(source.ids) for source in sources])
        for source, start in zip(sources, starts, strict=True):
            inside = along.dim == along.axis
            source.use(used[start : start + len(source.ids)] if inside else used)

    def starts(self, counts: Sequence[int]) -> list[int]:
        """Return where the channels of each operand begin in the result."""
        return [sum(counts[:i]) for i in range(len(counts))]

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same rows in all tables that lie side by side, if anything of them is left."""
        joined = state.plan(node, Joined)
        if joined is None:
            return []
        rows = [np.asarray(keep[part.ids].any(axis=-1)) for part in joined.parts]
        union = np.logical_or.reduce(rows)
        return [
            (part.ids[..., 0][union & ~own], "rows of a concatenation")
            for part, own in zip(joined.parts, rows, strict=True)
            if own.any()
        ]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the operands that have something left; one alone is no concatenation."""
        along, joined = out.state.plan(node, Along), out.state.plan(node, Joined)
        if along is None and joined is None:
            return out.copy(node)
        parts = [out.value(p) for p in node.args[0]]  # type: ignore[union-attr]
        left = [p for p in parts if p is not None]
        if not left or (along is not None and along.dim != along.axis and len(left) < len(parts)):
            return None
        return left[0] if len(left) == 1 else out.call(node, (left, *node.args[1:]))


def _but_one(axes: Axes, dim: int) -> tuple[tuple[tuple[int, bool], ...], ...]:
    """Return what lies along all axes but one."""
    return tuple(tuple((f.size, f.channel) for f in a) for i, a in enumerate(axes) if i != dim)


OPS: dict[str, Rule] = dict.fromkeys(("cat", "concat"), Cat())
