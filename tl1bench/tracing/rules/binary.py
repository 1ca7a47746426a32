"""Sums, products and the like of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, flow
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.unary import UNARY
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

# What an operand of these may be without changing the other one.
_NEUTRAL = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}
_EITHER_SIDE = ("add", "mul")


@dataclass(frozen=True, eq=False)
class Pair:
    """Two operands whose channels lie along `axis` of the result.

    `const` has for each of them one number a channel, NaN where it is none.
    """

    axis: int
    const: tuple[Floats, Floats]


class Binary(Rule):
    """f(a, b): channels of both operands are one; an operand of constants becomes a buffer."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Tie the operands' channels; two constants make a constant, a factor 0 as well."""
        if any(not isinstance(a, fx.Node) for a in node.args[:2]):
            return UNARY.forward(node, state) if _on_left(node) else OPAQUE.forward(node, state)
        axis = _axis(node, state)
        if axis is None:
            return OPAQUE.forward(node, state)
        shape = shape_of(node)
        parts = [state.along(o, _own_axis(node, o, axis)) for o in _operands(node, state)]
        ids = self.tied(parts, shape[axis], state)
        for operand in _both(node):
            tensor = state.tensor(operand)
            if tensor is not None and _static_dim(tensor, axis, len(shape), len(ids)) is not None:
                state.share(operand, "out", ids)
        first, second = (_constants(node, operand, axis, state) for operand in _both(node))
        state.note(node, Pair(axis, (first, second)))
        return flow(axis, ids, self.constants(node, (first, second)))

    def tied(self, parts: Sequence[Flow], count: int, state: Analysis) -> Ints:
        """Return the labels of the result, tied to those of every operand that has all of them."""
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
            UNARY.backward(node, state)
            return
        needed = state.flows[node].needed
        for operand in self.read(node, state):
            part = state.along(operand, _own_axis(node, operand, pair.axis))
            part.use(needed if len(part.ids) == len(needed) else np.array([needed.any()]))

    def read(self, node: fx.Node, state: Analysis) -> list[fx.Node]:
        """Return the operands that depend on an input."""
        return _operands(node, state)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep an operand of one channel that many channels share while any of those stays."""
        pair = state.plan(node, Pair)
        if pair is None or not keep[state.flows[node].ids].any():
            return []
        parts = [
            state.along(operand, _own_axis(node, operand, pair.axis))
            for operand in _operands(node, state)
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
            return []
        known, ndim, found = state.flows[node], node.meta["val"].dim(), []
        for operand in _both(node):
            tensor = state.tensor(operand)
            if tensor is not None:
                dim = _static_dim(tensor, pair.axis, ndim, len(known.ids))
                if dim is not None:
                    found.append(Slot(operand, dim, known.ids, "produced"))
        return found

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call; an operand of constants becomes a buffer or, if neutral, vanishes."""
        pair = out.state.plan(node, Pair)
        if pair is None:
            return out.copy(node)
        kept = out.kept(out.state.flows[node])
        if not len(kept):
            return None
        constant = self.constant_operand(node, pair, kept, out)
        if constant is not None and self.is_neutral(node, pair, kept, constant, out):
            return out.value(_both(node)[1 - constant])
        written = [
            self._buffer(node, pair, kept, i, out) if i == constant
            else self._operand(node, pair, kept, operand, out)
            for i, operand in enumerate(_both(node))
        ]  # fmt: skip
        if any(w is None for w in written):
            return None
        return out.call(node, (*written, *node.args[2:]))

    def constant_operand(self, node: fx.Node, pair: Pair, kept: Ints, out: Emitter) -> int | None:
        """Return which operand alone can be replaced by its constants; None for neither or both."""
        able = [i for i in (0, 1) if out.folding and self._replaceable(node, pair, kept, i, out)]
        return able[0] if len(able) == 1 else None

    def is_neutral(self, node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> bool:
        """Whether constant operand i changes nothing where that matters."""
        neutral, known = _NEUTRAL.get(op_name(node)), out.state.flows[node]
        other = _both(node)[1 - i]
        if neutral is None or other.meta["val"].dtype != node.meta["val"].dtype:
            return False
        same = bool(np.all((pair.const[i][kept] == neutral) | ~known.used[kept]))
        return same and self.may_vanish(node, i)

    def may_vanish(self, node: fx.Node, i: int) -> bool:
        """Whether a neutral operand i leaves the other as it is: 0 − x is not x."""
        return i == 1 or op_name(node) in _EITHER_SIDE

    @staticmethod
    def _buffer(node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> fx.Node:
        operand = _both(node)[i]
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
        dim = _static_dim(tensor, pair.axis, node.meta["val"].dim(), count)
        return out.tensor(operand, out.sliced(operand, {} if dim is None else {dim: kept}))

    @staticmethod
    def _replaceable(node: fx.Node, pair: Pair, kept: Ints, i: int, out: Emitter) -> bool:
        """Whether operand i is a known constant wherever it counts, and the other has the shape."""
        known, operands = out.state.flows[node], _both(node)
        matters = known.needed[kept] | ~np.isnan(known.const[kept]) & known.used[kept]
        values = pair.const[i][kept][matters]
        if np.isnan(values).any() or not len(values) or out.state.tensor(operands[i]) is not None:
            return False
        other, full = operands[1 - i], shape_of(node)
        return other.meta["val"].dim() == len(full) and shape_of(other) == full


def _axis(node: fx.Node, state: Analysis) -> int | None:
    """Return the axis of the result along which channels lie; None where that is not known."""
    tracked = [o for o in _both(node) if o in state.flows]
    if not tracked or any(o not in state.flows and state.tensor(o) is None for o in _both(node)):
        return None
    ndim, first = node.meta["val"].dim(), tracked[0]
    axis = int(state.flows[first].axis + ndim - first.meta["val"].dim())
    if any(_own_axis(node, o, axis) < 1 for o in _operands(node, state)):
        return None
    return axis


def _own_axis(node: fx.Node, operand: fx.Node, axis: int) -> int:
    """Return the axis of an operand that meets `axis` of the result."""
    return int(axis - node.meta["val"].dim() + operand.meta["val"].dim())


def _constants(node: fx.Node, operand: fx.Node, axis: int, state: Analysis) -> Floats:
    """Return what is constant of an operand, spread over the channels of the result."""
    shape, tensor = shape_of(node), state.tensor(operand)
    if tensor is not None:
        return _static_constants(tensor, axis, len(shape), shape[axis])
    part = state.along(operand, _own_axis(node, operand, axis))
    return np.broadcast_to(part.const, shape[axis])


def _both(node: fx.Node) -> tuple[fx.Node, fx.Node]:
    return node_of(node.args[0]), node_of(node.args[1])


def _on_left(node: fx.Node) -> bool:
    return isinstance(node.args[0], fx.Node) and len(node.all_input_nodes) == 1


def _operands(node: fx.Node, state: Analysis) -> list[fx.Node]:
    return [o for o in _both(node) if state.tensor(o) is None]


def _static_dim(tensor: Tensor, axis: int, ndim: int, count: int) -> int | None:
    """Return the dimension of a known operand that lies on the channel axis, if it has extent."""
    dim = axis - (ndim - tensor.dim())
    return dim if dim >= 0 and tensor.shape[dim] == count and count > 1 else None


def _static_constants(tensor: Tensor, axis: int, ndim: int, count: int) -> Floats:
    """Per channel the one number that a known operand holds, NaN where it holds several."""
    dim = axis - (ndim - tensor.dim())
    table = tensor.to(torch.float64)
    table = (
        table.movedim(dim, 0).reshape(table.shape[dim], -1) if dim >= 0 else table.reshape(1, -1)
    )
    low, high = table.amin(dim=1), table.amax(dim=1)
    values = torch.where(low == high, low, torch.full_like(low, torch.nan)).numpy()
    return np.broadcast_to(values, count)


OPS: dict[str, Rule] = dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), Binary())
