"""Operations that mix or move positions but never channels: pooling, resizing, padding, means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Flow, flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


class Pooling(Rule):
    """A constant plane stays that constant, unless padding lets zeros in."""

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Pass channels on; a constant that meets padding becomes live."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node) or source_node.meta["val"].dim() < 3:
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


class Turn(Pooling):
    """`flip` and `roll`: positions change places; over channels they are opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Pass channels on where other dimensions turn."""
        dims, source_node = node.args[-1], node.args[0]
        assert isinstance(source_node, fx.Node)
        assert isinstance(dims, (list, tuple))
        ndim = source_node.meta["val"].dim()
        if ndim < 3 or not dims or any(int(d) % ndim == 1 for d in dims):  # type: ignore[arg-type]
            return OPAQUE.forward(node, state)
        return super().forward(node, state)


def _plain_average(node: fx.Node) -> bool:
    """Whether every output of an average pooling is a mean over positions that all exist."""
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    given: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    padding = given.get("padding", 0)
    padded = any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
    return not padded and not given.get("ceil_mode") and given.get("divisor_override") is None


class Mean(Rule):
    """Mean, maximum or sum over positions, with or without keeping the dimensions."""

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
        const = source.const
        if op_name(node) == "sum":
            const = np.where(const == 0, const, np.nan)
        return flow(axis, source.ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result = state.flows.get(node)
        source = state.flows.get(node.args[0]) if isinstance(node.args[0], fx.Node) else None
        if result is not None and source is not None and result.ids is source.ids:
            source.use(result.needed)


class Select(Mean):
    """One position of every channel, such as the class token; one channel alone is opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Drop the dimension that the position was picked along."""
        source_node, dim = node.args[:2]
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None or not isinstance(source_node, fx.Node):
            return OPAQUE.forward(node, state)
        dim = int(dim) % source_node.meta["val"].dim()  # type: ignore[arg-type]
        if dim in (0, source.axis):
            return OPAQUE.forward(node, state)
        return flow(source.axis - (dim < source.axis), source.ids, source.const)


class Expand(Mean):
    """Positions repeated: every channel stays what it is."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Pass channels on; to repeat one channel many times is opaque."""
        source_node = node.args[0]
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None or not isinstance(source_node, fx.Node):
            return OPAQUE.forward(node, state)
        axis = source.axis + node.meta["val"].dim() - source_node.meta["val"].dim()
        if node.meta["val"].shape[axis] != len(source.ids):
            return OPAQUE.forward(node, state)
        return flow(axis, source.ids, source.const)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with as many channels as are left."""
        source, known = out.value(node.args[0]), out.state.flows.get(node)
        if source is None or known is None:
            return out.copy(node)
        sizes = [*out.argument(node.args[1])]
        sizes[known.axis] = -1
        return out.call(node, (source, sizes, *node.args[2:]))


class Pad(Rule):
    """Padding: numbers along positions may end a constant, along channels they add some.

    Reflected, replicated or wrapped positions are copies, which no constant minds.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Put new constant channels at either end; the others stay what they are."""
        source_node = node.args[0]
        source = state.flows.get(source_node) if isinstance(source_node, fx.Node) else None
        if source is None:
            return OPAQUE.forward(node, state)
        ndim, value = node.meta["val"].dim(), 0.0
        if op_name(node) == "pad":
            if len(node.args) > 2 and node.args[2] != "constant":
                return self._copies(node, source, state)
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

    @staticmethod
    def _copies(node: fx.Node, source: Flow, state: Analysis) -> Flow | None:
        padded = len(node.args[1]) // 2  # type: ignore[arg-type]
        if source.axis >= node.meta["val"].dim() - padded:
            return OPAQUE.forward(node, state)
        state.notes[node] = (0, 0, source.axis)
        return flow(source.axis, source.ids, source.const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel in the middle."""
        if node in state.notes and isinstance(node.args[0], fx.Node):
            low, _, _ = state.notes[node]
            source, result = state.flows[node.args[0]], state.flows[node]
            source.use(result.needed[low : low + len(source.ids)])

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with as many new channels as are left."""
        source = out.value(node.args[0])
        if node not in out.state.notes or source is None:
            return out.copy(node)
        low, high, axis = out.state.notes[node]
        ids = out.state.flows[node].ids
        widths = [int(w) for w in node.args[1]]  # type: ignore[union-attr, arg-type]
        place = 2 * (node.meta["val"].dim() - 1 - axis)
        if place < len(widths):
            widths[place] = int(out.keep[ids[:low]].sum())
            widths[place + 1] = int(out.keep[ids[len(ids) - high :]].sum())
        return out.call(node, (source, widths, *node.args[2:]))


_EXACT, _AVERAGE = Pooling(), Pooling(exact=False)
OPS: dict[str, Rule] = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
         "_adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
         "adaptive_max_pool2d", "adaptive_max_pool3d", "upsample_nearest1d", "upsample_nearest2d",
         "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d",
         "upsample_trilinear3d"),
        _EXACT,
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _AVERAGE),
    **dict.fromkeys(("mean", "amax", "amin", "sum"), Mean()),
    **dict.fromkeys(("flip", "roll"), Turn()),
    **dict.fromkeys(("constant_pad_nd", "pad"), Pad()),
    "select": Select(),
    "expand": Expand(),
}  # fmt: skip
