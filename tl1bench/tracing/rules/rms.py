"""Root mean square normalisation over the channels along the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of
from tl1bench.tracing.channels import Bools, Flow, Known, flow
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Normalised:
    """The channels that are normalised together, and the known `weight`, if there is one."""

    source: Flow
    weight: fx.Node | None


class RmsNorm(Rule):
    """y = w x / √(Σ x²/D + ε), which is the same operation over the d channels that are left.

    With constants c among those gone, Σ x²/D + ε = (d/D) (Σ_d x²/d + ε') where
    ε' = (ε D + Σ c²)/d, so that y = w √(D/d) x / √(Σ_d x²/d + ε').
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Let a channel that is 0, or has weight 0, come out 0; any other one depends on all."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        zero = found.source.const == 0
        weight = state.tensor(found.weight)
        if weight is not None:
            zero = zero | (weight == 0).numpy()
        return flow(found.source.axis, found.source.ids, np.where(zero, 0.0, np.nan))

    def read(self, node: fx.Node, state: Analysis) -> Normalised | None:
        """Return what is normalised; None where that is not the last axis alone."""
        given = complete(node)
        operand, weight = node_of(given["input"]), given["weight"]
        if len(given["normalized_shape"]) != 1 or state.tensor(operand) is not None:
            return None
        if given["eps"] is None and operand.meta["val"].dtype not in (torch.float32, torch.float64):
            return None  # which ε torch takes depends on the kernel
        if weight is not None and state.tensor(weight) is None:
            return None
        return Normalised(state.along(operand, operand.meta["val"].dim() - 1), weight)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use every channel where any is needed, of the constants the exact value in any case."""
        found, result = state.plan(node, Normalised), state.flows.get(node)
        if found is None or result is None or not result.used.any():
            return
        found.source.use(~found.source.live)
        if result.needed.any():
            state.mark_exact(found.source)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that the weight makes the channel."""
        found = state.plan(node, Normalised)
        if found is None or found.weight is None:
            return []
        return [Slot(found.weight, 0, found.source.ids, "produced")]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the weight and the ε that make up for what is gone."""
        found, value = out.state.plan(node, Normalised), out.value(node.args[0])
        if found is None or value is None:
            return out.copy(node)
        kept = out.keep[found.source.ids]
        scale, eps = self.scale(kept), self.epsilon(node, found.source, kept)
        ops = torch.ops.aten
        weight: fx.Node | None = None
        if found.weight is not None:
            left = out.sliced(found.weight, {0: np.flatnonzero(kept)})
            if not kept.all() and not out.state.shared(found.weight):
                left, scale = (left.to(torch.float64) * scale).to(left.dtype), 1.0
            weight = out.tensor(found.weight, left)
        written = out.write(ops.rms_norm.default, node, (value, [int(kept.sum())], weight, eps))
        return written if scale == 1 else out.graph.call_function(ops.mul.Tensor, (written, scale))

    def scale(self, kept: Bools) -> float:
        """Return √(D/d)."""
        return float(np.sqrt(len(kept) / kept.sum()))

    def epsilon(self, node: fx.Node, source: Flow, kept: Bools) -> float | None:
        """Return ε'.

        Parameters
        ----------
        node
            The call.
        source
            What it normalises.
        kept
            (channel,) which stay.

        Returns
        -------
        float or None
            None where nothing is gone and the call names none.
        """
        eps, value = complete(node)["eps"], node_of(node.args[0]).meta["val"]
        if kept.all():
            return eps if eps is None else float(eps)
        least = torch.finfo(value.dtype).eps if eps is None else float(eps)
        gone = np.nan_to_num(source.const[~kept])
        return float((least * len(kept) + (gone**2).sum()) / kept.sum())


OPS: dict[str, Rule] = {"rms_norm": RmsNorm()}
