"""LSTMCell, GRUCell and RNNCell: one step of a layer, called once or in a loop over time."""

from __future__ import annotations

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Known
from tl1bench.tracing.counted import Counted
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._cell_step import Step, read
from tl1bench.tracing.rules._recurrence import GATES, gate_rows
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Cell(Rule):
    """A unit is its rows in all gates, its column behind the state and its place in the states.

    Over the steps it is one, since they share the weights: it leaves where no step needs it. What
    a step needs is found from the last one on, what stays at zero from the first.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start channels for the units; constant are those that nothing but zero enters."""
        step = read(node, self.kind, state)
        if step is None:
            return OPAQUE.forward(node, state)
        state.note(node, step)
        state.inner.append(step.inner)
        return step.results[0]

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use what needed units read, of the input and of the states."""
        step = state.plan(node, Step)
        if step is None:
            return
        inputs, states, own = step.reads()
        state.along(step.source, 1).use(inputs)
        step.inner.use(states)
        step.starts[-1].use(own[None])
        step.starts[0].use(states[None])

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep constants other than 0, and an input."""
        step = state.plan(node, Step)
        if step is None or not keep[step.units].any():
            return []
        source, name = state.along(step.source, 1), state.label(step.weights[0])
        inputs, states = step.unfoldable(source)
        reason = f"constant that {name} cannot fold"
        wanted = [(source.ids[inputs], reason), (step.units[states], reason)]
        if not keep[source.ids].any():
            wanted.append((source.ids[:1], f"last input of {name}"))
        return wanted

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Rows of all gates are a unit, columns behind the input and the state read."""
        step = state.plan(node, Step)
        if step is None:
            return []
        rows = np.tile(step.units, GATES[self.kind])
        columns = (state.along(step.source, 1).ids, step.units)
        return [
            *(Slot(weight, 0, rows, "", fixed=True) for weight in step.weights),
            *(Slot(w, 1, ids, "", fixed=True)
              for w, ids in zip(step.weights, columns, strict=False)),
        ]  # fmt: skip

    def holds(self, node: fx.Node, state: Analysis) -> Counted | None:
        """Return both matrices once for all steps, each of which uses every number."""
        step = state.plan(node, Step)
        if step is None:
            return None
        calls = [n for n in step.weights[1].users if op_name(n) == op_name(node)]
        if calls[0] is not node:
            return None
        steps = [found for call in calls if (found := state.plan(call, Step)) is not None]
        needed = np.logical_or.reduce([found.made()[0] for found in steps])
        source = state.along(step.source, 1)
        units = Known(step.units, np.where(needed, np.nan, step.results[0].const), needed)
        inputs = np.logical_or.reduce([found.reads()[0] for found in steps]) & source.live
        states = np.logical_or.reduce([found.reads()[1] for found in steps]) & needed
        ideal = GATES[self.kind] * int(needed.sum()) * int(inputs.sum() + states.sum())
        name = state.label(step.weights[0]).removesuffix(".weight_ih")
        return Counted(name, units, source.ids, step.weights[:2], len(steps), ideal)

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with what is left of its weights and states."""
        step = out.state.plan(node, Step)
        if step is None:
            return out.copy(node)
        source, left = out.value(step.source), out.keep[step.units]
        if source is None or not left.any():
            return None
        inputs = out.keep[out.state.along(step.source, 1).ids]
        rows = gate_rows(np.flatnonzero(left), len(left), GATES[self.kind]).numpy()
        cuts = [{0: rows, 1: np.flatnonzero(inputs)}, {0: rows, 1: np.flatnonzero(left)}]
        cuts += [{0: rows}] * (len(step.weights) - len(cuts))
        weights = [
            out.tensor(weight, out.sliced(weight, cut))
            for weight, cut in zip(step.weights, cuts, strict=True)
        ]
        states = [start.write(source, 0, left[None], out) for start in step.starts]
        given = states if self.kind == "lstm" else states[0]
        return out.write(node.target, node, (source, given, *weights))


OPS: dict[str, Rule] = {f"{kind}_cell": Cell(kind) for kind in GATES}
