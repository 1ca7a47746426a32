"""Recurrent cells, once and in a loop: a unit that no step reads, or that stays at zero, leaves."""

import pytest
import torch
from hand_networks import Lambda, zero_columns
from torch import nn

from tl1bench import neurons

INPUTS, UNITS, STEPS = 5, 8, 3
KINDS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def steps(s, x):
    """Return the states that are shown after each step."""
    state, shown = None, []
    for t in range(x.shape[1]):
        state = s.r(x[:, t], state)
        shown.append(state[0] if isinstance(state, tuple) else state)
    return shown


FORWARDS = {
    "last": lambda s, x: s.h(steps(s, x)[-1]),
    "all": lambda s, x: s.h(torch.stack(steps(s, x), 1)).sum(1),
    "all, steps first": lambda s, x: s.h(torch.stack(steps(s, x)).transpose(0, 1)).sum(1),
    "one": lambda s, x: s.h(steps(s, x[:, :1])[0]),
}


def network(kind, forward="last", **options):
    torch.manual_seed(0)
    return Lambda(FORWARDS[forward], r=KINDS[kind](INPUTS, UNITS, **options), h=nn.Linear(UNITS, 3))


def shapes(small):
    return {name: tuple(t.shape) for name, t in small.model.state_dict().items()}


def candidate(kind, *units):
    """Return the rows through which something enters the states of some units."""
    return [{"lstm": 2, "gru": 2, "rnn": 0}[kind] * UNITS + unit for unit in units]


def at_rest(whole, kind, *units):
    with torch.no_grad():
        for tensor in whole.r.parameters():
            tensor[candidate(kind, *units)] = 0


@pytest.mark.parametrize("forward", FORWARDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_no_step_reads_leaves_every_gate(kind, forward, compacted):
    whole = network(kind, forward)
    zero_columns(whole.h, 0, 3, 4)
    with torch.no_grad():
        whole.r.weight_hh[:, [0, 3, 4]] = 0
    small, left = compacted(whole, (STEPS, INPUTS)), UNITS - 3
    gates = GATES[kind] * left
    assert shapes(small) == {
        "r.weight_ih": (gates, INPUTS), "r.weight_hh": (gates, left), "r.bias_ih": (gates,),
        "r.bias_hh": (gates,), "h.weight": (3, left), "h.bias": (3,),
    }  # fmt: skip
    assert small.report.opaque == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_the_next_step_reads_stays(kind, compacted):
    whole = network(kind)
    zero_columns(whole.h, 0)
    found = shapes(compacted(whole, (STEPS, INPUTS)))
    assert found["r.weight_hh"] == (GATES[kind] * UNITS, UNITS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_at_zero_leaves_a_cell(kind, compacted):
    whole = network(kind)
    at_rest(whole, kind, 1, 6)
    assert shapes(compacted(whole, (STEPS, INPUTS)))["h.weight"] == (3, UNITS - 2)


@pytest.mark.parametrize("bias", ["bias_ih", "bias_hh"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_in_the_candidate_keeps_the_unit(kind, bias, compacted):
    whole = network(kind)
    at_rest(whole, kind, 1)
    with torch.no_grad():
        getattr(whole.r, bias)[candidate(kind, 1)] = 0.3
    assert shapes(compacted(whole, (STEPS, INPUTS)))["h.weight"] == (3, UNITS)


@pytest.mark.parametrize("kind", ["gru", "rnn"])
def test_given_states_keep_what_is_read_of_them(kind, compacted):
    """The units after which nobody asks count as long as what they begin with does."""
    whole = Lambda(
        lambda s, x: s.h(s.r(x[:, 0], x[:, 1].repeat(1, 2)[:, :UNITS])),
        r=KINDS[kind](INPUTS, UNITS), h=nn.Linear(UNITS, 3),
    )  # fmt: skip
    zero_columns(whole.h, 0, 3)
    with torch.no_grad():
        whole.r.weight_hh[:, 3] = 0
    assert shapes(compacted(whole, (STEPS, INPUTS)))["r.weight_hh"][1] == UNITS - 1


@pytest.mark.parametrize("kind", KINDS)
def test_units_leave_with_the_layer_that_gives_the_first_state(kind, compacted):
    def forward(s, x):
        first = torch.tanh(s.a(x[:, 0]))
        state = s.r(x[:, 1], (first, first) if kind == "lstm" else first)
        return s.h(state[0] if kind == "lstm" else state)

    whole = Lambda(
        forward, a=nn.Linear(INPUTS, UNITS), r=KINDS[kind](INPUTS, UNITS), h=nn.Linear(UNITS, 3)
    )
    zero_columns(whole.h, 0, 3)
    with torch.no_grad():
        whole.r.weight_hh[:, [0, 3]] = 0
    assert shapes(compacted(whole, (STEPS, INPUTS)))["a.weight"] == (UNITS - 2, INPUTS)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_constants_in_front_of_a_cell_stay_what_they_are(kind, bias, compacted):
    def forward(s, x):
        return s.h(steps(s, torch.tanh(s.a(x)))[-1])

    whole = Lambda(
        forward, a=nn.Linear(INPUTS, INPUTS), r=KINDS[kind](INPUTS, UNITS, bias=bias),
        h=nn.Linear(UNITS, 3),
    )  # fmt: skip
    with torch.no_grad():
        whole.a.weight[[0, 2]] = 0
        whole.a.bias[[0, 2]] = torch.tensor([0.0, 0.6])
    assert shapes(compacted(whole, (STEPS, INPUTS)))["a.weight"] == (INPUTS - 1, INPUTS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_counts_a_cell_once(kind, compacted):
    report = compacted(network(kind), (STEPS, INPUTS)).report
    cell = next(layer for layer in report.layers if layer.name == "r")
    count = GATES[kind] * UNITS * (INPUTS + UNITS)
    assert (cell.weights_before, cell.weights_after) == (count, count)
    assert cell.macs_before == STEPS * count


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_a_cell_are_its_columns_and_the_gates_of_a_unit(kind):
    x, gates = torch.randn(2, STEPS, INPUTS), GATES[kind]
    found = {
        side: {(g.count, g.members) for g in neurons.groups(network(kind), x, side)}
        for side in ("outgoing", "incoming")
    }
    assert found == {
        "outgoing": {(INPUTS, gates * UNITS), (UNITS, gates * UNITS), (UNITS, 3)},
        "incoming": {(UNITS, gates * (INPUTS + UNITS)), (3, UNITS)},
    }
    assert not any(u.removable for u in neurons.units(network(kind), x))
