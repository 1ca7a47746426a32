"""LSTM, GRU and RNN layers, one or both directions, with projections."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.channels import Bools, Ints, Known
from tl1bench.tracing.counted import Counted
from tl1bench.tracing.graph import shape_of
from tl1bench.tracing.regular import missing
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._recurrence import GATES
from tl1bench.tracing.rules._recurrent_layer import Layer, read
from tl1bench.tracing.rules._recurrent_weights import left_of
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Recurrent(Rule):
    """A unit is its rows in all gates, its column behind the state, and its place in the states.

    It leaves where neither a reader outside nor a unit that is needed reads it, or where its state
    stays at zero: it starts there, and nothing but zero enters it.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Start channels for the units; constant are those at rest."""
        layer = read(node, self.kind, state)
        if layer is None:
            return OPAQUE.forward(node, state)
        state.note(node, layer)
        state.inner += layer.inner
        first = layer.known[0]
        assert first is not None
        return first

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use what needed units read, of the input, of the states and of each other."""
        layer = state.plan(node, Layer)
        if layer is None:
            return
        source, ways = state.along(layer.source, 2), len(layer.ways)
        wanted = [
            (known.used if layer.shared else known.needed).reshape(ways, -1)
            for known in layer.known
            if known is not None
        ]
        for d, found in enumerate(layer.cells):
            memory = wanted[2][d] if len(wanted) > 2 else np.zeros(len(layer.units[d]), bool)
            outputs, units = found.closure(wanted[0][d] | wanted[1][d], memory)
            layer.inner[0].used[d] |= units
            layer.inner[1].used[d] |= outputs
            source.use(np.asarray((found.ih & units[:, None]).any(axis=(0, 1))))
        for start, inner in zip(layer.starts, layer.inner[::-1], strict=False):
            start.use(inner.used)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep an input, a unit and an output of each direction left, and as many of each."""
        layer = state.plan(node, Layer)
        if layer is None:
            return []
        units, outputs = keep[layer.units], keep[layer.outputs]
        alive = units.any(axis=1) | outputs.any(axis=1)
        if not alive.any():
            return []
        source, name = state.along(layer.source, 2), layer.name(state)
        wanted = [(missing(ids, kept), f"equal directions of {name}")
                  for ids, kept in ((layer.units, units), (layer.outputs, outputs))]  # fmt: skip
        exact = source.used & ~source.live & (source.const != 0) & (not layer.folds)
        wanted.append((source.ids[exact], f"constant that {name} cannot fold"))
        if not keep[source.ids].any():
            wanted.append((source.ids[:1], f"last input of {name}"))
        for d in np.flatnonzero(alive):
            if not outputs[d].any():
                wanted.append((layer.outputs[d, :1], f"last output of {name}"))
            # torch tells a layer with a projection by its having fewer outputs than units.
            least = 1 if layer.units is layer.outputs else 1 + max(1, int(outputs[d].sum()))
            spare = np.flatnonzero(~units[d])[: max(0, least - int(units[d].sum()))]
            wanted.append((layer.units[d, spare], f"form of {name}"))
        return wanted

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Rows of all gates make a unit; columns behind the input and the state read."""
        layer = state.plan(node, Layer)
        if layer is None:
            return []
        found, source = [], state.along(layer.source, 2)
        for way, units, outputs in zip(layer.ways, layer.units, layer.outputs, strict=True):
            rows = np.tile(units, GATES[self.kind])
            for weight in (way.ih, way.hh, way.bias_ih, way.bias_hh):
                if weight is not None:
                    found.append(Slot(weight, 0, rows, "produced", fixed=True))
            found.append(Slot(way.ih, 1, source.ids, "consumed", fixed=True))
            found.append(Slot(way.hh, 1, outputs, "consumed", fixed=True))
            if way.hr is not None:
                found.append(Slot(way.hr, 0, outputs, "produced", fixed=True))
                found.append(Slot(way.hr, 1, units, "consumed", fixed=True))
        return found

    def holds(self, node: fx.Node, state: Analysis) -> Counted | None:
        """Return all weights but the biases, each of them used at every position."""
        layer = state.plan(node, Layer)
        if layer is None:
            return None
        source, inner = state.along(layer.source, 2), layer.inner[0]
        units = Known(inner.ids.reshape(-1), inner.const.reshape(-1), inner.used.reshape(-1))
        weights = tuple(
            w for way in layer.ways for w in (way.ih, way.hh, way.hr) if w is not None
        )  # fmt: skip
        uses = shape_of(layer.source, batch=1)[layer.time]
        name = layer.name(state)
        return Counted(name, units, source.ids, weights, uses, layer.ideal(source))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with what is left of its weights and states."""
        layer = out.state.plan(node, Layer)
        if layer is None:
            return out.copy(node)
        source = out.value(layer.source)
        kept = [out.keep[ids] for ids in (layer.outputs, layer.units)]
        if source is None or not kept[0].any():
            return None
        params = left_of(layer, out)
        starts = [
            start.write(source, 1 - layer.time, left, out)
            for start, left in zip(layer.starts, kept, strict=False)
        ]
        if layer.is_turned(out.keep):
            source = out.graph.call_function(torch.ops.aten.flip.default, (source, [layer.time]))
        ways = int(kept[0].any(axis=1).sum())
        first = starts if self.kind == "lstm" else starts[0]
        given = complete(node)
        return out.write(
            node.target, node,
            (source, first, params, given["has_biases"], 1, 0.0, False, ways > 1,
             given["batch_first"]),
        )  # fmt: skip


OPS: dict[str, Rule] = {kind: Recurrent(kind) for kind in GATES}
