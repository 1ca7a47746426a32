"""What recurrent layers rest on, broken on purpose: the tests of these layers notice."""

import numpy as np
import pytest
import test_recurrent as trials

from tl1bench.tracing.rules import _recurrence, _recurrent_weights, _states, recurrent

LOST = {
    "units that needed ones read stay": (
        _recurrence.Cells, "closure", lambda self, outputs, units: (outputs, units),
        lambda: trials.test_a_unit_that_another_one_reads_stays("gru")),
    "at rest is only what begins at zero": (
        _states.Start, "zero", lambda self, count: np.ones((1, count), dtype=bool),
        lambda: trials.test_a_unit_that_does_not_start_at_zero_is_not_at_zero("gru")),
    "both directions stay equally wide": (
        recurrent, "missing", lambda ids, kept: np.empty(0, dtype=np.int64),
        lambda: trials.test_both_directions_stay_equally_wide("lstm")),
    "rows of all gates leave": (
        _recurrent_weights, "gate_rows",
        lambda kept, units, gates: _recurrence.gate_rows(kept[::-1].copy(), units, gates),
        lambda: trials.test_a_unit_that_nobody_reads_leaves_every_gate("lstm")),
    "a bias in what enters keeps the unit": (
        _recurrence, "bias_of", lambda state, node, gates, place: 0.0,
        lambda: trials.test_a_bias_in_what_enters_keeps_the_unit("lstm", "bias_hh_l0")),
    "constants are told from what varies": (
        _recurrence, "matrix", lambda state, node: np.zeros(state.tensor(node).shape),
        lambda: trials.test_a_unit_that_another_one_reads_stays("rnn")),
}  # fmt: skip


@pytest.mark.parametrize("lost", LOST)
def test_a_loss_is_noticed(lost, monkeypatch):
    owner, name, broken, trial = LOST[lost]
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises((AssertionError, RuntimeError, IndexError, ValueError)):
        trial()
