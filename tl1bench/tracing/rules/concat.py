"""Concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Known, flow
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True)
class Along:
    """A concatenation along `dim` of values whose channels lie along `axis`."""

    dim: int
    axis: int


class Cat(Rule):
    """Channels side by side; along any other dimension the parts' channels are one."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
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
        """Use, for every used channel, the one it is."""
        along = state.plan(node, Along)
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


OPS: dict[str, Rule] = dict.fromkeys(("cat", "concat"), Cat())
