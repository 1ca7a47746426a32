"""Padding along positions and along channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Floats, Flow, Known, flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Padding:
    """New channels at either end of `axis`, all of `value`; `elsewhere` positions are padded."""

    low: int
    high: int
    axis: int
    value: float = 0.0
    elsewhere: bool = False


class Pad(Rule):
    """Padding: numbers along positions may end a constant, along channels they add some.

    Reflected, replicated or wrapped positions are copies, which no constant minds.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Put new constant channels at either end; the others stay what they are."""
        source = state.flows.get(node_of(node.args[0]))
        padding = None if source is None else self._read(node, source)
        if source is None or padding is None:
            return OPAQUE.forward(node, state)
        const = self.padded(source, padding) if padding.elsewhere else source.const
        low, high = padding.low, padding.high
        front, back = state.channels.fresh(low), state.channels.fresh(high)
        state.note(node, padding)
        return flow(
            source.axis,
            np.concatenate([front, source.ids, back]),
            np.concatenate([np.full(low, padding.value), const, np.full(high, padding.value)]),
        )

    def padded(self, source: Flow, padding: Padding) -> Floats:
        """Return the constants that padded positions leave: those of the same value."""
        return np.where(source.const == padding.value, source.const, np.nan)

    def _read(self, node: fx.Node, source: Flow) -> Padding | None:
        """Read the call; None where channels and positions, or samples, are padded."""
        ndim, widths = node.meta["val"].dim(), _widths(node)
        if op_name(node) == "pad" and len(node.args) > 2 and node.args[2] != "constant":
            inside = source.axis < ndim - len(widths) // 2
            return Padding(0, 0, source.axis) if inside else None
        pairs = {ndim - 1 - i // 2: (widths[i], widths[i + 1]) for i in range(0, len(widths), 2)}
        if any(low < 0 or high < 0 for low, high in pairs.values()) or any(pairs.get(0, (0, 0))):
            return None
        low, high = pairs.pop(source.axis, (0, 0))
        elsewhere = any(any(pair) for pair in pairs.values())
        if elsewhere and (low or high):
            return None
        return Padding(low, high, source.axis, _value(node), elsewhere)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every used channel in the middle."""
        padding = state.plan(node, Padding)
        if padding is not None:
            source, result = state.flows[node_of(node.args[0])], state.flows[node]
            source.use(result.used[self.middle(padding, len(source.ids))])

    def middle(self, padding: Padding, count: int) -> slice:
        """Return where the `count` channels of the operand lie in the result."""
        return slice(padding.low, padding.low + count)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with as many new channels as are left."""
        padding, source = out.state.plan(node, Padding), out.value(node.args[0])
        if padding is None or source is None:
            return out.copy(node)
        ids, widths = out.state.flows[node].ids, _widths(node)
        place = 2 * (node.meta["val"].dim() - 1 - padding.axis)
        if place < len(widths):
            widths[place] = int(out.keep[ids[: padding.low]].sum())
            widths[place + 1] = int(out.keep[ids[len(ids) - padding.high :]].sum())
        if not any(widths):
            return source
        return out.call(node, (source, widths, *node.args[2:]))


def _widths(node: fx.Node) -> list[int]:
    return [int(w) for w in node.args[1]]  # type: ignore[union-attr, arg-type]


def _value(node: fx.Node) -> float:
    place = 3 if op_name(node) == "pad" else 2
    given: Any = node.args[place] if len(node.args) > place else None
    return float(given or 0)


OPS: dict[str, Rule] = dict.fromkeys(("constant_pad_nd", "pad"), Pad())
