"""Operations that mix positions but never channels: pooling, resizing, spatial padding, means."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from tl1bench.compaction.analysis import Analysis
from tl1bench.compaction.channels import Flow, flow
from tl1bench.compaction.graph import op_name
from tl1bench.compaction.rules.base import Rule
from tl1bench.compaction.rules.opaque import OPAQUE


class Pooling(Rule):
    """A constant plane stays that constant, unless padding lets zeros in."""

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Pass channels on; a constant that meets padding becomes live."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node) or node.meta["val"].dim() < 3:
            return OPAQUE.forward(node, state)
        source = state.along(source_node, 1)
        const = source.const
        if not self.exact and not _plain_average(node):
            const = np.where(const == 0, const, np.nan)
        return flow(1, source.ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result, source = state.flows.get(node), node.args[0]
        if result is not None and isinstance(source, fx.Node):
            part = state.along(source, 1)
            if part.ids is result.ids:
                part.use(result.needed)


def _plain_average(node: fx.Node) -> bool:
    """Whether every output of an average pooling is a mean over positions that all exist."""
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    padding = given.get("padding", 0)
    padded = any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
    return not padded and not given.get("ceil_mode") and given.get("divisor_override") is None


class Mean(Rule):
    """Mean or maximum over positions, with or without keeping the dimensions."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Drop the reduced dimensions; reducing over the channels themselves is opaque."""
        source_node = node.args[0]
        dims = node.args[1] if len(node.args) > 1 else None
        if not isinstance(source_node, fx.Node) or not isinstance(dims, (list, tuple)) or not dims:
            return OPAQUE.forward(node, state)
        source = state.flows.get(source_node)
        ndim = source_node.meta["val"].dim()
        over = {int(d) % ndim for d in dims}
        if source is None or source.axis in over or 0 in over:
            return OPAQUE.forward(node, state)
        keepdim = len(node.args) > 2 and bool(node.args[2])
        axis = source.axis - (0 if keepdim else sum(1 for d in over if d < source.axis))
        return flow(axis, source.ids, source.const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result = state.flows.get(node)
        source = state.flows.get(node.args[0]) if isinstance(node.args[0], fx.Node) else None
        if result is not None and source is not None and result.ids is source.ids:
            source.use(result.needed)


class Pad(Rule):
    """Padding with a number: along positions it may end a constant, along channels it adds some."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Put new constant channels at either end; the others stay what they are."""
        source_node = node.args[0]
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None:
            return OPAQUE.forward(node, state)
        ndim, value = node.meta["val"].dim(), 0.0
        if op_name(node) == "pad":
            if len(node.args) > 2 and node.args[2] != "constant":
                return OPAQUE.forward(node, state)
            value = float(node.args[3] or 0) if len(node.args) > 3 else 0.0  # type: ignore[arg-type]
        elif len(node.args) > 2:
            value = float(node.args[2])  # type: ignore[arg-type]
        widths = [int(w) for w in node.args[1]]  # type: ignore[union-attr, arg-type]
        pairs = {ndim - 1 - i // 2: (widths[i], widths[i + 1]) for i in range(0, len(widths), 2)}
        if any(low < 0 or high < 0 for low, high in pairs.values()) or any(pairs.get(0, (0, 0))):
            return OPAQUE.forward(node, state)
        low, high = pairs.pop(source.axis, (0, 0))
        const = source.const
        if any(any(pair) for pair in pairs.values()):
            const = np.where(const == value, const, np.nan)
            if low or high:
                return OPAQUE.forward(node, state)
        front, back = state.channels.fresh(low), state.channels.fresh(high)
        state.notes[node] = (low, high, source.axis)
        return flow(
            source.axis,
            np.concatenate([front, source.ids, back]),
            np.concatenate([np.full(low, value), const, np.full(high, value)]),
        )

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel in the middle."""
        if node in state.notes and isinstance(node.args[0], fx.Node):
            low, _, _ = state.notes[node]
            source, result = state.flows[node.args[0]], state.flows[node]
            source.use(result.needed[low : low + len(source.ids)])

    def emit(self, node: fx.Node, out: Any) -> fx.Node | None:
        """Write the call with as many new channels as are left."""
        source = out.value(node.args[0])
        if node not in out.state.notes or source is None:
            copied: fx.Node | None = out.copy(node)
            return copied
        low, high, axis = out.state.notes[node]
        ids = out.state.flows[node].ids
        widths = [int(w) for w in node.args[1]]  # type: ignore[union-attr, arg-type]
        place = 2 * (node.meta["val"].dim() - 1 - axis)
        if place < len(widths):
            widths[place] = int(out.keep[ids[:low]].sum())
            widths[place + 1] = int(out.keep[ids[len(ids) - high :]].sum())
        written: fx.Node = out.call(node, (source, widths, *node.args[2:]))
        return written


_EXACT, _AVERAGE = Pooling(), Pooling(exact=False)
OPS: dict[str, Rule] = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
         "_adaptive_avg_pool2d", "adaptive_avg_pool3d", "upsample_nearest2d",
         "upsample_bilinear2d"),
        _EXACT,
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _AVERAGE),
    **dict.fromkeys(("mean", "amax", "amin"), Mean()),
    **dict.fromkeys(("constant_pad_nd", "pad"), Pad()),
}  # fmt: skip
