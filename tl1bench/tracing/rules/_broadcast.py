"""Sums, products and the like where channels of an operand lie along several axes."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, table
from tl1bench.tracing.factors import levels
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._contraction import Side
from tl1bench.tracing.rules._laying import Laid, lay, operands_of, own_dims
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Broadcast(Rule):
    """f(a, b): channels of both operands are one, along every axis.

    A known tensor with a number for each place along an axis has the same ones for all rows, so
    that these must keep the same places.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie the operands' channels; two constants make a constant, a factor 0 as well."""
        laid = lay(node, state)
        if laid is None:
            return OPAQUE.forward(node, state)
        shape = tuple(f.size for f in levels(laid.axes))
        own = next(s.ids for s in laid.sides if s is not None and s.shape == shape)
        for side in laid.sides:
            if side is not None and not serves_all(side, shape):
                wide = np.broadcast_to(side.ids, shape)
                state.channels.tie(own.reshape(-1), wide.reshape(-1))
        state.note(node, laid)
        const = [np.broadcast_to(c, shape) for c in _constants(node, laid, state)]
        return table(laid.axes, own, self.applied(node, const))

    def applied(self, node: fx.Node, const: list[Floats]) -> Floats:
        """Return the constants of the result."""
        return _applied(node, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use both operands' channels for every used channel."""
        laid, result = state.plan(node, Laid), state.known(node)
        if laid is None or result is None:
            return
        for side in laid.sides:
            if side is not None:
                known = np.broadcast_to(~np.isnan(side.const), result.ids.shape)
                side.use(np.asarray(result.used & (result.live | known)))

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same places in all rows beside numbers that are the same for all rows."""
        laid, result = state.plan(node, Laid), state.known(node)
        if laid is None or result is None:
            return []
        kept, wanted = keep[result.ids], []
        for fixed in laid.fixed:
            for ids in fixed.wanted(result.ids, keep):
                wanted.append((ids, f"equal rows of {op_name(node)}"))
        for side in laid.sides:
            if side is not None and serves_all(side, result.ids.shape) and kept.any():
                wanted.append((side.ids.reshape(-1), f"one for all in {op_name(node)}"))
        return wanted

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that a known operand with one entry a channel of one axis makes the channel."""
        laid, result = state.plan(node, Laid), state.known(node)
        if laid is None or result is None or result.ids.ndim != 1:
            return []
        return [
            Slot(operand, dim, result.ids, "produced")
            for operand in operands_of(node)
            if (tensor := state.tensor(operand)) is not None
            for _, dim in own_dims(tensor, laid.axes)
        ]

    def places(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say where a known operand is laid out by places that all rows have."""
        laid = state.plan(node, Laid)
        return [] if laid is None else [Slot(f.operand, f.dim, f.places, "") for f in laid.fixed]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with what is left of a known operand."""
        laid, result = out.state.plan(node, Laid), out.state.known(node)
        if laid is None or result is None:
            return out.copy(node)
        kept = out.keep[result.ids]
        if not kept.any():
            return None
        written: dict[fx.Node, fx.Node | None] = {}
        for operand in operands_of(node):
            tensor = out.state.tensor(operand)
            if tensor is None:
                written[operand] = out.value(operand)
                continue
            places = {f.dim: np.flatnonzero(out.keep[f.places])
                      for f in laid.fixed if f.operand is operand}  # fmt: skip
            if kept.ndim == 1:
                places = {dim: np.flatnonzero(kept) for _, dim in own_dims(tensor, laid.axes)}
            written[operand] = out.tensor(operand, out.sliced(operand, places))
        if any(w is None for w in written.values()):
            return None
        return out.call(node, fx.node.map_arg(node.args, lambda operand: written[operand]))


class Choice(Broadcast):
    """`where` and `masked_fill`: one of two numbers, as a third one says."""

    def applied(self, node: fx.Node, const: list[Floats]) -> Floats:
        """Return no constants: which of the two it is may differ from position to position."""
        del node
        return np.full(const[0].shape, np.nan)


def serves_all(side: Side, shape: tuple[int, ...]) -> bool:
    """Whether an operand has one channel for all those of the result."""
    return side.table.ids.size == 1 and bool(shape)


def _constants(node: fx.Node, laid: Laid, state: Analysis) -> list[Floats]:
    """Return per operand what is constant of it, 1 along levels that it does not tell apart."""
    found = []
    for operand, side in zip(operands_of(node), laid.sides, strict=True):
        if side is not None:
            found.append(side.const)
            continue
        tensor = state.tensor(operand)
        assert tensor is not None
        own = dict(own_dims(tensor, laid.axes))
        order = [own[level] for level in sorted(own)]
        numbers = tensor.to(torch.float64).permute(
            *order, *(d for d in range(tensor.dim()) if d not in order)
        )
        numbers = numbers.reshape(*(tensor.shape[d] for d in order), -1)
        low, high = numbers.amin(dim=-1), numbers.amax(dim=-1)
        same = torch.where(low == high, low, torch.full_like(low, torch.nan)).numpy()
        count = len(levels(laid.axes))
        found.append(same.reshape([tensor.shape[own[i]] if i in own else 1 for i in range(count)]))
    return found


def _applied(node: fx.Node, const: list[Floats]) -> Floats:
    """Return the constants of the result; a factor 0 makes one, whatever the other is."""
    kind = node.meta["val"].dtype
    numbers = [torch.from_numpy(np.array(c)).to(kind) for c in const]
    rest = node.args[len(numbers) :]
    with torch.no_grad():
        result = node.target(*numbers, *rest, **node.kwargs)  # type: ignore[operator]
    values = result.to(torch.float64).numpy()
    name = op_name(node)
    gone = np.zeros(const[0].shape, dtype=bool)
    if name in ("mul", "div"):
        gone = (const[0] == 0) | ((const[1] == 0) & (name == "mul"))
    return np.where(gone, 0.0, values)


BROADCAST, CHOICE = Broadcast(), Choice()
