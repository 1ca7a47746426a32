"""BatchNorm in eval mode: one affine map per channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Flow, flow, push
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


def _operands(node: fx.Node, state: Analysis) -> list[Any] | None:
    """Return weight, bias, mean, variance; None when they are not all known or batch-dependent."""
    if node.target is torch.ops.aten.batch_norm.default and node.args[5]:
        return None
    operands = list(node.args[1:5])
    known = all(o is None or state.tensor(o) is not None for o in operands)
    return operands if known and None not in operands[2:] and len(operands) == 4 else None


class BatchNorm(Rule):
    """A channel with γ = 0 is the constant β, whatever flows in."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Push constants through the operation; γ = 0 makes new ones."""
        operands = _operands(node, state)
        source_node = node.args[0]
        if operands is None or state.tensor(source_node) is not None:
            return OPAQUE.forward(node, state)
        assert isinstance(source_node, fx.Node)
        source = state.along(source_node, 1)
        tensors = [state.tensor(o) for o in operands]
        scale, shift = tensors[0], tensors[1]
        kind = source_node.meta["val"].dtype
        eps: Any = node.args[7 if node.target is torch.ops.aten.batch_norm.default else 6]
        const = push(
            source.const, 1, 2, kind,
            lambda x: torch.nn.functional.batch_norm(
                x, tensors[2], tensors[3], scale, shift, False, 0.0, float(eps)
            ),
        )  # fmt: skip
        if scale is not None:
            value = np.zeros(len(const)) if shift is None else shift.to(torch.float64).numpy()
            const = np.where((scale == 0).numpy(), value, const)
        state.notes[node] = operands
        for operand in operands:
            if operand is not None:
                state.share(operand, "out", source.ids)
        return flow(1, source.ids, const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        if node not in state.notes:
            OPAQUE.backward(node, state)
            return
        assert isinstance(node.args[0], fx.Node)
        state.along(node.args[0], 1).use(state.flows[node].needed)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """All four vectors make the channel."""
        operands = state.notes.get(node) or []
        return [Slot(o, 0, state.flows[node].ids, "produced") for o in operands if o is not None]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with sliced vectors; a constant becomes γ = 0, β = constant."""
        operands = out.state.notes.get(node)
        source = out.value(node.args[0])
        if operands is None or source is None:
            return out.copy(node)
        known = out.state.flows[node]
        kept = out.kept(known)
        fixed = ~known.needed[kept]
        if not out.folding or any(o is not None and out.state.shared(o) for o in operands):
            fixed[:] = False
        vectors: list[fx.Node | None] = []
        for position, operand in enumerate(operands):
            if operand is None:
                vectors.append(None)
                continue
            tensor = out.sliced(operand, {0: kept})
            if position < 2 and operands[0] is not None and operands[1] is not None and fixed.any():
                tensor = tensor.clone()
                value = np.nan_to_num(known.const[kept][fixed]) if position == 1 else 0.0
                tensor[torch.from_numpy(fixed)] = torch.as_tensor(value, dtype=tensor.dtype)
            vectors.append(out.tensor(operand, tensor))
        return out.call(node, (source, *vectors, *node.args[5:]))


OPS: dict[str, Rule] = dict.fromkeys(
    ("batch_norm", "_native_batch_norm_legit_no_training"), BatchNorm()
)
