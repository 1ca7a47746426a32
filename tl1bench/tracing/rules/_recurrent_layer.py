"""One call of a recurrent layer as the passes see it."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, flow, table
from tl1bench.tracing.factors import Factor
from tl1bench.tracing.free import stand_in
from tl1bench.tracing.rules._recurrence import GATES, Cells, Direction, cells, directions
from tl1bench.tracing.rules._several import Several
from tl1bench.tracing.rules._states import Start
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Layer(Several):
    """One call: labels of its `units` (direction, unit) and `outputs` (direction, output).

    Without a projection they are the same. `inner` is what is known of both inside the layer.
    """

    source: fx.Node
    time: int
    ways: tuple[Direction, ...]
    cells: tuple[Cells, ...]
    starts: tuple[Start, ...]
    units: Ints
    outputs: Ints
    inner: tuple[Known, Known]
    folds: bool
    shared: bool

    def write(self, node: fx.Node, place: int, out: Emitter) -> fx.Node | None:
        """Write one result; a direction that is left alone has run over turned positions."""
        value = out.value(node.args[0])
        if value is None:
            return None
        found = out.write(operator.getitem, node, (value, place))
        if place or not self.is_turned(out.keep):
            return found
        return out.graph.call_function(torch.ops.aten.flip.default, (found, [self.time]))

    def name(self, state: Analysis) -> str:
        """Return `r.l0` for the first layer of a module `r`."""
        return state.label(self.ways[0].ih).replace("weight_ih_", "")

    def ideal(self, source: Known) -> int:
        """Count rows of needed units times what these read, of live inputs and of each other."""
        total = 0
        for d, found in enumerate(self.cells):
            units, outputs = (known.needed[d] for known in self.inner)
            gates = len(found.ih) * int(units.sum())
            read = (found.ih & units[:, None]).any(axis=(0, 1)) & source.live
            again = (found.hh & units[:, None]).any(axis=(0, 1)) & outputs
            total += gates * int(read.sum() + again.sum())
            total += 0 if found.hr is None else int(units.sum() * outputs.sum())
        return total

    def is_turned(self, keep: Bools) -> bool:
        """Whether of two directions only the one that runs backwards is left."""
        return len(self.units) > 1 and not keep[self.units[0]].any()


def read(node: fx.Node, kind: str, state: Analysis) -> Layer | None:
    """Return the layer that a call runs; None where its weights depend on the input.

    Parameters
    ----------
    node
        The call.
    kind
        Its ATen operation.
    state
        The passes over the network.

    Returns
    -------
    Layer or None
        None as well for packed sequences and for dropout.
    """
    read = complete(node)
    if "batch_first" not in read or read["num_layers"] != 1 or read["train"]:
        return None
    source, starts = read["input"], read["hx"]
    starts = list(starts) if isinstance(starts, (list, tuple)) else [starts]
    if state.tensor(source) is not None or source.meta["val"].dim() != 3:
        return None
    if any(state.tensor(w) is None for w in read["params"]):
        return None
    if any(not isinstance(s, fx.Node) or state.tensor(s) is not None for s in starts):
        return None
    both = 1 + bool(read["bidirectional"])
    ways = directions(read["params"], read["has_biases"], both)
    units, outputs = _labels(ways, kind, state)
    begins = tuple(
        Start.of(s, ids, state) for s, ids in zip(starts, (outputs, units), strict=False)
    )
    shared = any(state.shared(w) for w in read["params"])
    shared = shared or len(set(read["params"])) < len(read["params"])
    folds = bool(read["has_biases"]) and not shared
    zero = [s.zero(ids.shape[1]) for s, ids in zip(begins, (outputs, units), strict=False)]
    flowing = state.along(source, 2)
    found = tuple(
        cells(kind, way, flowing, (zero[0][min(d, len(zero[0]) - 1)],
              zero[-1][min(d, len(zero[-1]) - 1)]), state, folds)
        for d, way in enumerate(ways)
    )  # fmt: skip
    return Layer(
        known=_results(node, found, units, outputs),
        source=source,
        time=1 if read["batch_first"] else 0,
        ways=ways,
        cells=found,
        starts=begins,
        units=units,
        outputs=outputs,
        inner=(_inner(units, [c.rest for c in found]),
               _inner(outputs, [c.silent for c in found])),
        folds=folds,
        shared=shared,
    )  # fmt: skip


def _labels(ways: tuple[Direction, ...], kind: str, state: Analysis) -> tuple[Ints, Ints]:
    """Return new labels of units and of outputs: the same where nothing is projected."""
    rows, columns = (state.traced.static[n].shape[0 if n is ways[0].ih else 1]
                     for n in (ways[0].ih, ways[0].hh))  # fmt: skip
    units = state.channels.fresh(len(ways) * (rows // GATES[kind])).reshape(len(ways), -1)
    if ways[0].hr is None:
        return units, units
    return units, state.channels.fresh(len(ways) * columns).reshape(len(ways), -1)


def _results(
    node: fx.Node, found: tuple[Cells, ...], units: Ints, outputs: Ints
) -> tuple[Known | None, ...]:
    """Return what is known of the outputs and of the last states (direction, sample, unit)."""
    results = node.meta["val"]
    samples = stand_in(results[1].shape[1])
    const = np.stack([c.const for c in found])
    rest = np.where(np.stack([c.rest for c in found]), 0.0, np.nan)
    last = [(outputs, const), (units, rest)][: len(results) - 1]
    states = (_state(ids, values, samples) for ids, values in last)
    return (flow(2, outputs.reshape(-1), const.reshape(-1)), *states)


def _state(ids: Ints, const: Floats, samples: int) -> Known:
    if len(ids) == 1:
        return flow(2, ids[0], const[0])
    lead, unit = (Factor(n, True, (k,)) for n, k in zip(ids.shape, (0, 2), strict=True))
    middle = (Factor(samples, False, (1,)),) if samples != 1 else ()
    return table(((lead,), middle, (unit,)), ids, const)


def _inner(ids: Ints, silent: list[Bools]) -> Known:
    const = np.where(np.stack(silent), 0.0, np.nan)
    return Known(ids, const, np.zeros(ids.shape, dtype=bool))
