"""One recurrent layer: its weights by gate, which of its units stay at zero, which read which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Ints, Known

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
# The gate that a new state is made of: where it is zero, so is all that enters the state.
CANDIDATE = {"lstm": 2, "gru": 2, "rnn_tanh": 0, "rnn_relu": 0}


@dataclass(frozen=True, eq=False)
class Direction:
    """The weights of one direction: what reads the input, what reads the state, biases, projection.

    Rows are those of all gates, one gate after another.
    """

    ih: fx.Node
    hh: fx.Node
    bias_ih: fx.Node | None
    bias_hh: fx.Node | None
    hr: fx.Node | None

    @property
    def nodes(self) -> list[fx.Node]:
        """Return all that there are."""
        return [n for n in (self.ih, self.hh, self.bias_ih, self.bias_hh, self.hr) if n is not None]


def directions(params: Sequence[fx.Node], biases: bool, both: int) -> tuple[Direction, ...]:
    """Sort the weights of one layer, as torch lists them.

    Parameters
    ----------
    params
        Of one direction after the other.
    biases
        Whether there are any.
    both
        How many directions.

    Returns
    -------
    tuple of Direction
        One for each.
    """
    each = len(params) // both
    found = []
    for start in range(0, len(params), each):
        own = list(params[start : start + each])
        bias = own[2:4] if biases else [None, None]
        rest = own[4 if biases else 2 :]
        found.append(Direction(own[0], own[1], bias[0], bias[1], rest[0] if rest else None))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Cells:
    """What is known of the units of one direction, apart from what reads them outside.

    `ih` (gate, unit, input), `hh` (gate, unit, output) and `hr` (output, unit) say where weights
    are not zero. `rest` (unit,) are states that stay zero, `silent` (output,) outputs that no unit
    ever sees but as zero, `const` (output,) what readers outside see, NaN where it changes.
    """

    ih: Bools
    hh: Bools
    hr: Bools | None
    rest: Bools
    silent: Bools
    const: Floats

    def closure(self, outputs: Bools, units: Bools) -> tuple[Bools, Bools]:
        """Return needed outputs and units, with those that they read in turn.

        Parameters
        ----------
        outputs, units
            (output,) and (unit,) that somebody outside needs.

        Returns
        -------
        tuple of Bools
            The same, and all that they are made of.
        """
        while True:
            made = outputs if self.hr is None else (self.hr & outputs[:, None]).any(axis=0)
            more_units = units | (made & ~self.rest if self.hr is not None else made)
            read = (self.hh & more_units[:, None]).any(axis=(0, 1)) & ~self.silent
            more_outputs = outputs | read | (more_units if self.hr is None else False)
            if (more_units == units).all() and (more_outputs == outputs).all():
                return outputs, units
            outputs, units = more_outputs, more_units


def cells(
    kind: str, own: Direction, source: Known, starts: tuple[Bools, Bools], state: Analysis,
    folds: bool,
) -> Cells:  # fmt: skip
    """Find the units of one direction that stay at zero, and outputs that are constants.

    Parameters
    ----------
    kind
        ATen operation.
    own
        Its weights.
    source
        What flows in.
    starts
        Which outputs and which units begin at zero.
    state
        The passes over the network.
    folds
        Whether constant inputs are folded into the biases.

    Returns
    -------
    Cells
        What is known.
    """
    gates, place = GATES[kind], CANDIDATE[kind]
    ih, hh = (by_gate(state, node, gates) for node in (own.ih, own.hh))
    steady = ~source.live & ((source.const == 0) | folds)
    varies = (ih != 0)[place][:, ~steady].any(axis=1)
    folded = np.where(steady, np.nan_to_num(source.const), 0.0)
    entering = (ih[place] * folded).sum(axis=1) + bias_of(state, own.bias_ih, gates, place)
    recurrent = bias_of(state, own.bias_hh, gates, place)
    hr = None if own.hr is None else matrix(state, own.hr) != 0
    value = entering + recurrent
    if kind == "gru":
        # The reset gate scales what comes from the state, its bias among it.
        value = np.where(recurrent == 0, entering, np.nan)
    elif kind != "lstm":
        value = np.maximum(value, 0) if kind == "rnn_relu" else np.tanh(value)
    begins, holds = starts if kind == "lstm" else (starts[0], starts[0])
    needs = holds if kind in ("lstm", "gru") else np.ones_like(holds)
    rest = ~varies & (value == 0) & needs
    reads = (hh != 0)[place]
    while True:
        silent = begins & (rest if hr is None else ~hr[:, ~rest].any(axis=1))
        less = rest & ~reads[:, ~silent].any(axis=1)
        if (less == rest).all():
            break
        rest = less
    const = np.where(rest if hr is None else ~hr[:, ~rest].any(axis=1), 0.0, np.nan)
    if kind.startswith("rnn"):
        const = np.where(~varies & ~reads[:, ~silent].any(axis=1), value, np.nan)
    return Cells(ih != 0, hh != 0, hr, rest, silent, const)


def matrix(state: Analysis, node: fx.Node) -> Floats:
    """Return a known tensor in float64."""
    tensor = state.tensor(node)
    assert tensor is not None
    found: Floats = tensor.detach().to(torch.float64).numpy()
    return found


def by_gate(state: Analysis, node: fx.Node, gates: int) -> Floats:
    """Return weights as (gate, unit, column)."""
    found = matrix(state, node)
    return found.reshape(gates, -1, found.shape[1])


def bias_of(state: Analysis, node: fx.Node | None, gates: int, place: int) -> Floats | float:
    """Return the biases of the gate at `place`, in float64; 0 where there are none."""
    return 0.0 if node is None else matrix(state, node).reshape(gates, -1)[place]


def gate_rows(kept: Ints, units: int, gates: int) -> Tensor:
    """Return where the rows of the `kept` of so many units lie, gate by gate."""
    return torch.from_numpy((np.arange(gates)[:, None] * units + kept).reshape(-1))
