"""BatchNorm in eval mode: one affine map per channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, Known, flow, push
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Vectors:
    """The operands of a BatchNorm: γ and β (None where there is none), mean and variance."""

    nodes: tuple[fx.Node | None, ...]

    def known(self) -> list[fx.Node]:
        """Return those that there are."""
        return [node for node in self.nodes if node is not None]


def _vectors(node: fx.Node, state: Analysis) -> Vectors | None:
    """Read the operands; None when they are not all known or depend on the batch."""
    if node.target is torch.ops.aten.batch_norm.default and node.args[5]:
        return None
    operands = list(node.args[1:5])
    known = all(o is None or state.tensor(o) is not None for o in operands)
    if not known or None in operands[2:] or len(operands) != 4:
        return None
    return Vectors(tuple(None if o is None else node_of(o) for o in operands))


class BatchNorm(Rule):
    """A channel with γ = 0 is the constant β, whatever flows in."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Push constants through the operation; γ = 0 makes new ones."""
        vectors, source_node = _vectors(node, state), node.args[0]
        if vectors is None or state.tensor(source_node) is not None:
            return OPAQUE.forward(node, state)
        source = state.along(node_of(source_node), 1)
        scale, shift, mean, variance = (state.tensor(o) for o in vectors.nodes)
        eps: Any = node.args[7 if node.target is torch.ops.aten.batch_norm.default else 6]
        const = self.pushed(
            node, source,
            lambda x: torch.nn.functional.batch_norm(
                x, mean, variance, scale, shift, False, 0.0, float(eps)
            ),
        )  # fmt: skip
        if scale is not None:
            const = np.where((scale == 0).numpy(), self.value_at_zero_scale(shift, const), const)
        state.note(node, vectors)
        return flow(1, source.ids, const)

    def pushed(self, node: fx.Node, source: Flow, function: Callable[[Tensor], Tensor]) -> Floats:
        """Return the constants that come out where constants go in.

        Parameters
        ----------
        node
            The call.
        source
            What flows in.
        function
            The operation on one value a channel.

        Returns
        -------
        ndarray
            (channel,) constants, NaN where live.
        """
        return push(source.const, 1, 2, node_of(node.args[0]).meta["val"].dtype, function)

    def value_at_zero_scale(self, shift: Tensor | None, const: Floats) -> Floats:
        """Return what channels with γ = 0 hold: β."""
        return np.zeros(len(const)) if shift is None else shift.to(torch.float64).numpy()

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        if state.plan(node, Vectors) is None:
            OPAQUE.backward(node, state)
            return
        source, result = state.along(node_of(node.args[0]), 1), state.flows[node]
        source.use(self.reads(result) | (result.used & ~source.live))

    def reads(self, result: Flow) -> Bools:
        """Mark the channels that are read: those that are needed, not those of γ = 0."""
        return result.needed

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """All four vectors make the channel."""
        vectors = state.plan(node, Vectors)
        known = [] if vectors is None else vectors.known()
        return [Slot(o, 0, state.flows[node].ids, "produced") for o in known]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with sliced vectors; a constant becomes γ = 0, β = constant."""
        vectors, source = out.state.plan(node, Vectors), out.value(node.args[0])
        if vectors is None or source is None:
            return out.copy(node)
        known = out.state.flows[node]
        kept = out.kept(known)
        fixed = ~known.needed[kept]
        if not out.folding or any(out.state.shared(o) for o in vectors.known()):
            fixed[:] = False
        affine = None not in vectors.nodes[:2]
        written: list[fx.Node | None] = []
        for position, operand in enumerate(vectors.nodes):
            if operand is None:
                written.append(None)
                continue
            tensor = out.sliced(operand, {0: kept})
            if position < 2 and affine and fixed.any():
                tensor = tensor.clone()
                value = self.shift_of_constants(known, kept[fixed]) if position == 1 else 0.0
                tensor[torch.from_numpy(fixed)] = torch.as_tensor(value, dtype=tensor.dtype)
            written.append(out.tensor(operand, tensor))
        return out.call(node, (source, *written, *node.args[5:]))

    def shift_of_constants(self, known: Flow, channels: Ints) -> Floats:
        """Return the β that channels with γ = 0 get: their constants."""
        return np.nan_to_num(known.const[channels])


OPS: dict[str, Rule] = dict.fromkeys(
    ("batch_norm", "_native_batch_norm_legit_no_training"), BatchNorm()
)
