"""Sums, products and the like of two tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, Known, flow
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._broadcast import BROADCAST
from tl1bench.tracing.rules._laying import Laid
from tl1bench.tracing.rules._operands import (
    Pair,
    both,
    channel_axis,
    dependent,
    is_on_left,
    operand_constants,
    own_axis,
    static_dim,
)
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.unary import UNARY
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

# What an operand of these may be without changing the other one.
_NEUTRAL = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}
_EITHER_SIDE = ("add", "mul")


class Binary(Rule):
    """f(a, b): channels of both operands are one; an operand of constants becomes a buffer."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie the operands' channels; two constants make a constant, a factor 0 as well."""
        if any(not isinstance(a, fx.Node) for a in node.args[:2]):
            return UNARY.forward(node, state) if is_on_left(node) else OPAQUE.forward(node, state)
        if any(operand in state.tables for operand in both(node)):
            return BROADCAST.forward(node, state)
        axis = channel_axis(node, state)
        if axis is None:
            return OPAQUE.forward(node, state)
        shape = shape_of(node)
        parts = [state.along(o, own_axis(node, o, axis)) for o in dependent(node, state)]
        ids = self.tied(parts, shape[axis], state)
        first, second = (operand_constants(node, operand, axis, state) for operand in both(node))
        state.note(node, Pair(axis, (first, second)))
        return flow(axis, ids, self.constants(node, (first, second)))

    def tied(self, parts: Sequence[Flow], count: int, state: Analysis) -> Ints:
        """Return the labels of the result, tied to those of every operand that has all of them.

        Parameters
        ----------
        parts
            What flows in.
        count
            Channels of the result.
        state
            The passes over the network.

        Returns
        -------
        ndarray
            (channel,) labels.
        """
        whole = [p for p in parts if len(p.ids) == count]
        ids = whole[0].ids if whole else state.channels.fresh(count)
        for part in whole[1:]:
            state.channels.tie(ids, part.ids)
        return ids

    def constants(self, node: fx.Node, const: tuple[Floats, Floats]) -> Floats:
        """Return the constants of the result; a factor 0 makes one, whatever the other is."""
        kind = node.meta["val"].dtype
        a, b = (torch.from_numpy(np.array(c)).to(kind) for c in const)
        with torch.no_grad():
            result = node.target(a, b, *node.args[2:], **node.kwargs)  # type: ignore[operator]
        values: Floats = result.to(torch.float64).numpy()
        return np.where(self.annihilated(node, const), 0.0, values)

    def annihilated(self, node: fx.Node, const: tuple[Floats, Floats]) -> Bools:
        """Mark channels that are 0 because one factor is."""
        name = op_name(node)
        if name not in ("mul", "div"):
            return np.zeros(len(const[0]), dtype=bool)
        marked: Bools = (const[0] == 0) | ((const[1] == 0) & (name == "mul"))
        return marked

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use both operands' channels for every needed channel."""
        pair = state.plan(node, Pair)
        if pair is None:
            (BROADCAST if state.plan(node, Laid) else UNARY).backward(node, state)
            return
        result = state.flows[node]
        for operand in self.read(node, state):
            part = state.along(operand, own_axis(node, operand, pair.axis))
            wide = np.broadcast_to(part.const, len(result.ids))
            read = result.used & (result.live | ~np.isnan(wide))
            part.use(read if len(part.ids) == len(read) else np.array([read.any()]))

    def read(self, node: fx.Node, state: Analysis) -> list[fx.Node]:
        """Return the operands that depend on an input."""
        return dependent(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep an operand of one channel that many channels share while any of those stays."""
        pair = state.plan(node, Pair)
        if state.plan(node, Laid) is not None:
            return BROADCAST.more(node, state, keep)
        if pair is None or not keep[state.flows[node].ids].any():
            return []
        parts = [
            state.along(operand, own_axis(node, operand, pair.axis))
            for operand in dependent(node, state)
        ]
        reason = f"one for all channels in {op_name(node)}"
        return [(part.ids, reason) for part in parts if self.serves_all(part)]

    def serves_all(self, part: Flow) -> bool:
        """Whether an operand has one channel for all those of the result."""
        return len(part.ids) == 1

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that a known operand with one entry a channel makes the channel."""
        pair = state.plan(node, Pair)
        if pair is None:
            return BROADCAST.slots(node, state)
        known, ndim, found = state.flows[node], node.meta["val"].dim(), []
        for operand in both(node):
            tensor = state.tensor(operand)
            if tensor is not None:
                dim = static_dim(tensor, pair.axis, ndim, len(known.ids))
                if dim is not None:
                    found.append(Slot(operand, dim, known.ids, "produced"))
        return found

    def places(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say where a known operand is laid out by places that all rows have."""
        return BROADCAST.places(node, state)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call; an operand of constants becomes a buffer or, if neutral, vanishes."""
        pair = out.state.plan(node, Pair)
        if pair is None:
            return BROADCAST.emit(node, out)
        kept = out.kept(out.state.flows[node])
        if not len(kept):
            return None
        constant = self._constant_operand(node, pair, kept, out)
        if constant is not None and self.is_neutral(node, pair, kept, constant, out):
            return out.value(both(node)[1 - constant])
        written = [
            self._buffer(node, pair, kept, i, out) if i == constant
            else self._operand(node, pair, kept, operand, out)
            for i, operand in enumerate(both(node))
        ]  # fmt: skip
        if any(w is None for w in written):
            return None
        return out.call(node, (*written, *node.args[2:]))

    def _constant_operand(self, node: fx.Node, pair: Pair, kept: Ints, out: Emitter) -> int | None:
        """Return which operand alone can be replaced by its constants; None for neither or both."""
        able = [i for i in (0, 1) if out.folding and self._replaceable(node, pair, kept, i, out)]
        return able[0] if len(able) == 1 else None

    def is_neutral(self, node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> bool:
        """Whether constant operand i changes nothing where that matters.

        Parameters
        ----------
        node
            The call.
        pair
            Its operands.
        kept
            Positions of the channels that stay.
        i
            The constant operand, 0 or 1.
        out
            The ledger that is written.

        Returns
        -------
        bool
            Whether the call can be left out.
        """
        neutral, known = _NEUTRAL.get(op_name(node)), out.state.flows[node]
        other = both(node)[1 - i]
        if neutral is None or other.meta["val"].dtype != node.meta["val"].dtype:
            return False
        same = bool(np.all((pair.const[i][kept] == neutral) | ~known.used[kept]))
        return same and self.may_vanish(node, i)

    def may_vanish(self, node: fx.Node, i: int) -> bool:
        """Whether a neutral operand i leaves the other as it is: 0 − x is not x."""
        return i == 1 or op_name(node) in _EITHER_SIDE

    @staticmethod
    def _buffer(node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> fx.Node:
        operand = both(node)[i]
        shape = [1] * (node.meta["val"].dim() - pair.axis)
        shape[0] = len(kept)
        values = torch.from_numpy(np.nan_to_num(pair.const[i][kept]))
        return out.constant(operand, values.to(operand.meta["val"].dtype).reshape(shape))

    @staticmethod
    def _operand(
        node: fx.Node, pair: Pair, kept: Ints, operand: fx.Node, out: Emitter
    ) -> fx.Node | None:
        tensor = out.state.tensor(operand)
        if tensor is None:
            return out.value(operand)
        count = len(out.state.flows[node].ids)
        dim = static_dim(tensor, pair.axis, node.meta["val"].dim(), count)
        return out.tensor(operand, out.sliced(operand, {} if dim is None else {dim: kept}))

    @staticmethod
    def _replaceable(node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> bool:
        """Whether operand i is a known constant wherever it counts, and the other has the shape."""
        known, operands = out.state.flows[node], both(node)
        matters = known.needed[kept] | ~np.isnan(known.const[kept]) & known.used[kept]
        values = pair.const[i][kept][matters]
        if np.isnan(values).any() or not len(values) or out.state.tensor(operands[i]) is not None:
            return False
        other, full = operands[1 - i], shape_of(node)
        return other.meta["val"].dim() == len(full) and shape_of(other) == full


OPS: dict[str, Rule] = dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), Binary())
