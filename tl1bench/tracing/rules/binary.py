"""Sums, products and the like of two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, flow
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


from tl1bench.tracing.rules.unary import UNARY, node_of


class Binary(Rule):
    """f(a, b): channels of both operands are one; an operand of constants becomes a buffer."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Tie the operands' channels; two constants make a constant, a factor 0 as well."""
        if any(not isinstance(a, fx.Node) for a in node.args[:2]):
            return UNARY.forward(node, state) if _on_left(node) else OPAQUE.forward(node, state)
        a, b = node_of(node.args[0]), node_of(node.args[1])
        shape = shape_of(node)
        flows = [state.flows.get(n) for n in (a, b)]
        fixed = [state.tensor(n) for n in (a, b)]
        if any(f is None and t is None for f, t in zip(flows, fixed, strict=True)):
            return OPAQUE.forward(node, state)
        axis = next(
            f.axis + len(shape) - n.meta["val"].dim()
            for f, n in zip(flows, (a, b), strict=True) if f is not None
        )  # fmt: skip
        count, parts, const = shape[axis], [], []
        for operand, tensor in zip((a, b), fixed, strict=True):
            if tensor is not None:
                const.append(_static_constants(tensor, axis, len(shape), count))
                continue
            own = axis - (len(shape) - operand.meta["val"].dim())
            if own < 1:
                return OPAQUE.forward(node, state)
            part = state.along(operand, own)
            parts.append(part)
            const.append(np.broadcast_to(part.const, count))
        whole = [p for p in parts if len(p.ids) == count]
        ids = whole[0].ids if whole else state.channels.fresh(count)
        for part in whole[1:]:
            state.channels.tie(ids, part.ids)
        for operand, tensor in zip((a, b), fixed, strict=True):
            if tensor is not None and _static_dim(tensor, axis, len(shape), count) is not None:
                state.share(operand, "out", ids)
        state.notes[node] = (axis, const)
        return flow(axis, ids, self._constants(node, const))

    @staticmethod
    def _constants(node: fx.Node, const: list[Floats]) -> Floats:
        kind = node.meta["val"].dtype
        a, b = (torch.from_numpy(np.array(c)).to(kind) for c in const)
        with torch.no_grad():
            result = node.target(a, b, *node.args[2:], **node.kwargs)  # type: ignore[operator]
        values: Floats = result.to(torch.float64).numpy()
        if op_name(node) in ("mul", "div"):
            zero = (const[0] == 0) | ((const[1] == 0) & (op_name(node) == "mul"))
            values = np.where(zero, 0.0, values)
        return values

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use both operands' channels for every needed channel."""
        if node not in state.notes:
            UNARY.backward(node, state)
            return
        axis, needed = state.notes[node][0], state.flows[node].needed
        for operand in _operands(node, state):
            part = state.along(operand, axis - node.meta["val"].dim() + operand.meta["val"].dim())
            part.use(needed if len(part.ids) == len(needed) else np.array([needed.any()]))

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep an operand of one channel that many channels share while any of those stays."""
        if node not in state.notes or not keep[state.flows[node].ids].any():
            return []
        axis, found = state.notes[node][0], []
        for operand in _operands(node, state):
            part = state.along(operand, axis - node.meta["val"].dim() + operand.meta["val"].dim())
            if len(part.ids) == 1:
                found.append((part.ids, f"one for all channels in {op_name(node)}"))
        return found

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that a known operand with one entry a channel makes the channel."""
        if node not in state.notes:
            return []
        axis, known, found = state.notes[node][0], state.flows[node], []
        ndim = node.meta["val"].dim()
        for operand in (node_of(node.args[0]), node_of(node.args[1])):
            tensor = state.tensor(operand)
            if tensor is not None:
                dim = _static_dim(tensor, axis, ndim, len(known.ids))
                if dim is not None:
                    found.append(Slot(operand, dim, known.ids, "produced"))
        return found

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call; an operand of constants becomes a buffer or, if neutral, vanishes."""
        if node not in out.state.notes:
            return out.copy(node)
        axis, const = out.state.notes[node]
        known = out.state.flows[node]
        kept = out.kept(known)
        if not len(kept):
            return None
        ndim = node.meta["val"].dim()
        written: list[fx.Node | None] = []
        operands = [node_of(node.args[0]), node_of(node.args[1])]
        replaced = [
            out.folding and self._replaceable(node, operands, i, const, known, kept, out)
            for i in (0, 1)
        ]
        for i, operand in enumerate(operands):
            tensor = out.state.tensor(operand)
            values = const[i][kept]
            if replaced[i] and not replaced[1 - i]:
                neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(op_name(node))
                if neutral is not None and np.all((values == neutral) | ~known.used[kept]) and (
                    i == 1 or op_name(node) in ("add", "mul")
                ) and operands[1 - i].meta["val"].dtype == node.meta["val"].dtype:  # fmt: skip
                    return out.value(operands[1 - i])
                shape = [1] * (ndim - axis)
                shape[0] = len(kept)
                buffer = (
                    torch.from_numpy(np.nan_to_num(values))
                    .to(operand.meta["val"].dtype)
                    .reshape(shape)
                )
                written.append(out.constant(operand, buffer))
            elif tensor is not None:
                dim = _static_dim(tensor, axis, ndim, len(known.ids))
                left = out.sliced(operand, {} if dim is None else {dim: kept})
                written.append(out.tensor(operand, left))
            else:
                written.append(out.value(operand))
        if any(w is None for w in written):
            return None
        return out.call(node, (*written, *node.args[2:]))

    @staticmethod
    def _replaceable(
        node: fx.Node, operands: list[fx.Node], i: int, const: list[Floats],
        known: Flow, kept: Ints, out: Emitter,
    ) -> bool:  # fmt: skip
        """Whether operand i is a known constant wherever it counts, and the other has the shape."""
        matters = known.needed[kept] | ~np.isnan(known.const[kept]) & known.used[kept]
        values = const[i][kept][matters]
        if np.isnan(values).any() or not len(values) or out.state.tensor(operands[i]) is not None:
            return False
        other = operands[1 - i]
        full = shape_of(node)
        return other.meta["val"].dim() == len(full) and shape_of(other) == full


def _on_left(node: fx.Node) -> bool:
    return isinstance(node.args[0], fx.Node) and len(node.all_input_nodes) == 1


def _operands(node: fx.Node, state: Analysis) -> list[fx.Node]:
    return [node_of(a) for a in node.args[:2] if state.tensor(a) is None]


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
