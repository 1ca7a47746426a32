"""One step of a recurrent cell as the passes see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, Known, flow
from tl1bench.tracing.rules._recurrence import CANDIDATE, GATES, bias_of, by_gate
from tl1bench.tracing.rules._several import Several
from tl1bench.tracing.rules._states import Start


@dataclass(frozen=True, eq=False)
class Step(Several):
    """One call: labels of its `units`, and where its weights by gate are not zero.

    `ih` is (gate, unit, input), `hh` (gate, unit, unit), `inner` what is known of the state that
    the units see. `weights` are the matrices and then the biases, if there are any.
    """

    kind: str
    source: fx.Node
    starts: tuple[Start, ...]
    units: Ints
    weights: tuple[fx.Node, ...]
    ih: Bools
    hh: Bools
    inner: Known

    @property
    def results(self) -> tuple[Known, ...]:
        """Return what is known of the new states."""
        return tuple(known for known in self.known if known is not None)

    def made(self) -> tuple[Bools, Bools]:
        """Return which units somebody needs, and of which somebody relies on their constant."""
        needed = np.logical_or.reduce([known.needed for known in self.results])
        used = np.logical_or.reduce([known.used for known in self.results])
        return needed, used & ~needed

    def reads(self) -> tuple[Bools, Bools, Bools]:
        """Return the inputs, the states seen by others and the own states that this needs.

        A unit whose constant is all that counts is made of its candidate alone.
        """
        needed, constant = self.made()
        gate = CANDIDATE[self.kind]
        inputs, states = (
            (w & needed[:, None]).any(axis=(0, 1)) | (w[gate] & constant[:, None]).any(axis=0)
            for w in (self.ih, self.hh)
        )
        own = np.zeros_like(needed) if self.kind.startswith("rnn") else needed | constant
        return np.asarray(inputs), np.asarray(states), own

    def unfoldable(self, source: Known) -> tuple[Bools, Bools]:
        """Return the inputs and the states that are read as a constant other than 0."""
        inputs, states, _ = self.reads()
        return (
            np.asarray(inputs & ~source.live & (source.const != 0)),
            np.asarray(states & ~self.inner.live & (self.inner.const != 0)),
        )


def read(node: fx.Node, kind: str, state: Analysis) -> Step | None:
    """Return the step that a call makes; None where its weights depend on the input.

    Parameters
    ----------
    node
        The call.
    kind
        Of the cell, as of the layer that it is a step of.
    state
        The passes over the network.

    Returns
    -------
    Step or None
        None as well for a single sample without a batch.
    """
    given = complete(node)
    source, states = given["input"], given["hx"]
    nodes = list(states) if isinstance(states, (list, tuple)) else [states]
    weights = [given[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh") if given[name] is not None]
    if len(weights) not in (2, 4) or any(state.tensor(w) is None for w in weights):
        return None
    if any(state.tensor(n) is not None or n.meta["val"].dim() != 2 for n in (source, *nodes)):
        return None
    gates, count = GATES[kind], state.traced.static[weights[1]].shape[1]
    fits = all(len(state.traced.static[w]) == gates * count for w in weights)
    if not fits or any(n.meta["val"].shape[1] != count for n in nodes):
        return None
    units = state.channels.fresh(count)
    starts = tuple(Start.of(n, units[None], state) for n in nodes)
    seen = np.zeros(count) if starts[0].known is None else starts[0].known.const
    inner = Known(units, np.broadcast_to(seen, count), np.zeros(count, dtype=bool))
    ih, hh = (by_gate(state, w, gates) for w in weights[:2])
    const = _constants(kind, (ih, hh), weights, (state.along(source, 1), inner), starts, state)
    known = tuple(flow(1, units, const) for _ in nodes)
    return Step(known, kind, source, starts, units, tuple(weights), ih != 0, hh != 0, inner)


def _constants(
    kind: str, matrices: tuple[Floats, Floats], weights: list[fx.Node],
    operands: tuple[Flow, Known], starts: tuple[Start, ...], state: Analysis,
) -> Floats:  # fmt: skip
    """Return the constants of the new states, NaN where they are none."""
    gate = CANDIDATE[kind]
    values: list[Floats] = []
    biases: list[fx.Node | None] = [*weights[2:], None, None][:2]
    for w, known, bias in zip(matrices, operands, biases, strict=True):
        varies = (w[gate][:, known.live] != 0).any(axis=1)
        folded = (w[gate] * np.nan_to_num(known.const)).sum(axis=1)
        folded = folded + bias_of(state, bias, len(w), gate)
        values.append(np.where(varies, np.nan, folded))
    total: Floats = values[0] + values[1]
    if kind.startswith("rnn"):
        return np.maximum(total, 0) if kind == "rnn_relu" else np.tanh(total)
    if kind == "gru":  # the reset gate scales what comes from the state, its bias among it
        total = np.where(values[1] == 0, values[0], np.nan)
    begins = starts[-1].zero(total.size)[0]
    return np.where((total == 0) & begins, 0.0, np.nan)
