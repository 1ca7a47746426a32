"""Recurrent layers: a unit that nobody reads or that stays at zero leaves all gates and states."""

import itertools

import pytest
import torch
from hand_networks import Lambda
from same_function import assert_same_function, numbers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from tl1bench.compaction import compact, load_compacted
from tl1bench.errors import CompactionError
from tl1bench.tracing.agreement import leaves

INPUTS, UNITS, LENGTH = 5, 8, 6
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def compacted(network, *more, shape=(LENGTH, INPUTS)):
    """Compact in float64, compare at other batch sizes, and hold that nothing grows."""
    network = network.double().eval()
    draw = {n: [torch.randn(n, *s, dtype=torch.float64) for s in (shape, *more)] for n in (2, 1, 7)}
    small = compact(network, tuple(draw[2])).model
    for batch in (1, 7):
        with torch.no_grad():
            wanted, found = network(*draw[batch]), small(*draw[batch])
        for a, b in zip(leaves(wanted), leaves(found), strict=True):
            assert a.shape == b.shape
            assert (a - b).abs().max() <= 1e-10 * max(1.0, a.abs().max())
    assert numbers(small) <= numbers(network)
    return small


def last(s, x):
    return s.h(s.r(x)[0][:, -1])


def network(kind, forward=last, width=UNITS, **options):
    layer = KINDS[kind](INPUTS, UNITS, **{"batch_first": True, **options})
    return Lambda(forward, r=layer, h=nn.Linear(width, 3))


def zero(tensor, rows=slice(None), columns=None):
    with torch.no_grad():
        if columns is None:
            tensor[rows] = 0
        else:
            tensor[:, columns] = 0


def candidate(layer, kind, *units, suffix="_l0"):
    """Let nothing enter the states of some units."""
    gate = {"lstm": 2, "gru": 2, "rnn": 0}[kind]
    rows = [gate * layer.hidden_size + unit for unit in units]
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        zero(getattr(layer, name + suffix), rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_nobody_reads_leaves_every_gate(kind):
    whole = network(kind)
    zero(whole.r.weight_hh_l0, columns=[0, 3, 4])
    zero(whole.h.weight, columns=[0, 3, 4])
    small = compacted(whole)
    gates, left = GATES[kind], UNITS - 3
    assert small.r.weight_ih_l0.shape == (gates * left, INPUTS)
    assert small.r.weight_hh_l0.shape == (gates * left, left)
    assert small.r.bias_ih_l0.shape == small.r.bias_hh_l0.shape == (gates * left,)
    assert small.h.weight.shape == (3, left)


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_another_one_reads_stays(kind):
    whole = network(kind)
    zero(whole.r.weight_hh_l0, columns=[0, 3])
    zero(whole.h.weight, columns=[0, 3])
    with torch.no_grad():
        whole.r.weight_hh_l0[5, 3] = 0.7
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 1


@pytest.mark.parametrize("kind", KINDS)
def test_units_that_only_read_each_other_leave_together(kind):
    whole = network(kind)
    kept = torch.arange(UNITS) > 2
    rows = kept.repeat(GATES[kind])
    with torch.no_grad():
        whole.r.weight_hh_l0[rows[:, None] & ~kept] = 0
    zero(whole.h.weight, columns=[0, 1, 2])
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_stays_at_zero_leaves(kind):
    whole = network(kind)
    candidate(whole.r, kind, 1, 6)
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 2


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_unit_that_reads_only_units_at_zero_is_one(kind):
    whole = network(kind)
    candidate(whole.r, kind, 1, 6)
    with torch.no_grad():
        whole.r.weight_hh_l0[2 * UNITS + 1, 6] = whole.r.weight_hh_l0[2 * UNITS + 6, 1] = 0.5
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", ["bias_ih_l0", "bias_hh_l0"])
def test_a_bias_in_what_enters_keeps_the_unit(kind, bias):
    whole = network(kind)
    candidate(whole.r, kind, 1)
    with torch.no_grad():
        getattr(whole.r, bias)[{"lstm": 2, "gru": 2, "rnn": 0}[kind] * UNITS + 1] = 0.3
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS


def test_a_constant_unit_that_no_unit_reads_goes_to_the_biases():
    whole = network("rnn")
    candidate(whole.r, "rnn", 1)
    zero(whole.r.weight_hh_l0, columns=[1])
    with torch.no_grad():
        whole.r.bias_ih_l0[1] = 0.3
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_constant_inputs_go_to_the_biases_where_there_are_any(kind, bias):
    def forward(s, x):
        return s.h(s.r(torch.tanh(s.a(x)))[0][:, -1])

    layer = KINDS[kind](4, UNITS, batch_first=True, bias=bias)
    whole = Lambda(forward, a=nn.Linear(INPUTS, 4), r=layer, h=nn.Linear(UNITS, 3))
    zero(whole.a.weight, [0, 2])
    with torch.no_grad():
        whole.a.bias[[0, 2]] = torch.tensor([0.0, 0.6])
    assert compacted(whole).r.weight_ih_l0.shape[1] == (2 if bias else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_on_top_of_each_other_lose_what_they_can_each(kind):
    whole = network(kind, num_layers=2, dropout=0.3)
    for tensor in (whole.r.weight_hh_l0, whole.r.weight_ih_l1):
        zero(tensor, columns=[0, 1, 2])
    for tensor in (whole.r.weight_hh_l1, whole.h.weight):
        zero(tensor, columns=[7])
    small = compacted(whole)
    assert small.r.weight_hh_l0.shape[1] == UNITS - 3
    assert small.r.weight_hh_l1.shape[1] == UNITS - 1
    assert small.r.weight_ih_l1.shape[1] == UNITS - 3


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_stay_equally_wide(kind):
    whole = network(kind, width=2 * UNITS, bidirectional=True)
    zero(whole.r.weight_hh_l0, columns=[0, 1, 2])
    zero(whole.r.weight_hh_l0_reverse, columns=[6, 7])
    zero(whole.h.weight, columns=[0, 1, 2, UNITS + 6, UNITS + 7])
    small = compacted(whole)
    assert small.r.weight_hh_l0.shape[1] == UNITS - 2
    assert small.r.weight_hh_l0_reverse.shape[1] == UNITS - 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("left", ["", "_reverse"])
def test_a_direction_that_nobody_reads_leaves(kind, batch_first, left):
    def forward(s, x):
        found = s.r(x if batch_first else x.transpose(0, 1))[0]
        return s.h(found if batch_first else found.transpose(0, 1))

    whole = network(kind, forward, 2 * UNITS, bidirectional=True, batch_first=batch_first)
    zero(whole.h.weight, columns=slice(UNITS, None) if not left else slice(0, UNITS))
    small = compacted(whole)
    assert [n for n in small.state_dict() if "_hh" in n] == [
        f"r.weight_hh_l0{left}", f"r.bias_hh_l0{left}"
    ]  # fmt: skip


def test_cells_and_projections_leave_by_themselves():
    whole = network("lstm", width=4, proj_size=4)
    zero(whole.r.weight_hr_l0, columns=[0, 1])
    for tensor in (whole.r.weight_hh_l0, whole.h.weight):
        zero(tensor, columns=[3])
    small = compacted(whole)
    assert small.r.weight_hr_l0.shape == (3, UNITS - 2)
    assert small.r.weight_hh_l0.shape == (4 * (UNITS - 2), 3)


def test_a_projection_stays_narrower_than_the_cells():
    whole = network("lstm", width=4, proj_size=4)
    zero(whole.r.weight_hr_l0, columns=[0, 1, 2, 3, 4])
    assert compacted(whole).r.weight_hr_l0.shape == (4, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_states_that_are_given_are_cut(kind):
    def forward(s, x, h, c):
        h, c = h.transpose(0, 1), c.transpose(0, 1)
        return s.h(s.r(x, (h, c) if kind == "lstm" else h)[0][:, -1])

    whole = network(kind, forward)
    zero(whole.r.weight_hh_l0, columns=[0, 3, 4])
    zero(whole.h.weight, columns=[0, 3, 4])
    small = compacted(whole, (1, UNITS), (1, UNITS))
    assert small.r.weight_hh_l0.shape[1] == UNITS - 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_unit_that_does_not_start_at_zero_is_not_at_zero(kind):
    def forward(s, x, h, c):
        h, c = h.transpose(0, 1), c.transpose(0, 1)
        return s.h(s.r(x, (h, c) if kind == "lstm" else h)[0])

    whole = network(kind, forward)
    candidate(whole.r, kind, 1)
    left = compacted(whole, (1, UNITS), (1, UNITS)).r.weight_hh_l0.shape[1]
    assert left == UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_hands_its_states_to_a_decoder(kind):
    whole = Lambda(
        lambda s, x: s.h(s.d(x, s.e(x)[1])[0]),
        e=KINDS[kind](INPUTS, UNITS, batch_first=True),
        d=KINDS[kind](INPUTS, UNITS, batch_first=True), h=nn.Linear(UNITS, 3),
    )  # fmt: skip
    for tensor in (whole.e.weight_hh_l0, whole.d.weight_hh_l0, whole.h.weight):
        zero(tensor, columns=[2, 5])
    small = compacted(whole)
    assert small.e.weight_hh_l0.shape[1] == small.d.weight_hh_l0.shape[1] == UNITS - 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_of_a_decoder_starts_where_that_of_the_encoder_ends(kind):
    whole = Lambda(
        lambda s, x: s.h(s.d(x, s.e(x)[1])[0]),
        e=KINDS[kind](INPUTS, UNITS, 2, batch_first=True),
        d=KINDS[kind](INPUTS, UNITS, 2, batch_first=True), h=nn.Linear(UNITS, 3),
    )  # fmt: skip
    for layer in (whole.e, whole.d):
        for tensor in (layer.weight_hh_l0, layer.weight_ih_l1):
            zero(tensor, columns=[2, 5, 6])
        zero(layer.weight_hh_l1, columns=[1])
    zero(whole.h.weight, columns=[1])
    small = compacted(whole)
    for layer in (small.e, small.d):
        assert layer.weight_hh_l0.shape[1] == UNITS - 3
        assert layer.weight_hh_l1.shape[1] == UNITS - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["squeezed", "first of all", "learnt start"])
def test_other_ways_to_read_and_to_start(kind, which):
    def forward(s, x):
        start = s.start.expand(-1, x.shape[0], -1).contiguous() if which[0] == "l" else None
        start = (start, start) if start is not None and kind == "lstm" else start
        state = s.r(x, start)[1]
        state = state[0] if kind == "lstm" else state
        return s.h(state[0] if which[0] == "f" else state.squeeze(0))

    whole = network(kind, forward)
    whole.start = nn.Parameter(torch.randn(1, 1, UNITS))
    for tensor in (whole.r.weight_hh_l0, whole.h.weight):
        zero(tensor, columns=[1, 4])
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_reads_two_sequences_is_tied_to_itself(kind):
    whole = Lambda(
        lambda s, x, y: s.h(s.r(x)[0][:, -1]) * s.g(s.r(y)[0][:, -1]),
        r=KINDS[kind](INPUTS, UNITS, batch_first=True),
        h=nn.Linear(UNITS, 3), g=nn.Linear(UNITS, 3),
    )  # fmt: skip
    zero(whole.r.weight_hh_l0, columns=[0, 1, 2])
    zero(whole.h.weight, columns=[0, 1])
    zero(whole.g.weight, columns=[1, 2])
    small = compacted(whole, (LENGTH, INPUTS))
    assert small.r.weight_hh_l0.shape[1] == UNITS - 1
    assert sum("weight_hh" in n for n in small.state_dict()) == 1


def test_the_last_layer_s_state_asks_nothing_of_the_layers_below():
    whole = network("gru", lambda s, x: s.h(s.r(x)[1][-1]), num_layers=2)
    zero(whole.r.weight_hh_l0, columns=[0, 1])
    zero(whole.r.weight_ih_l1, columns=[0, 1])
    small = compacted(whole)
    assert [small.r.weight_hh_l0.shape[1], small.r.weight_hh_l1.shape[1]] == [UNITS - 2, UNITS]


def test_layers_on_top_of_each_other_leave_the_batch_free():
    """Attention of the last state to all outputs: products over sizes that hold the batch."""

    def forward(s, x):
        outputs, state = s.r(x)
        scores = torch.bmm(outputs, state[-1].unsqueeze(2)).squeeze(2).softmax(1)
        return s.h(torch.bmm(scores.unsqueeze(1), outputs).squeeze(1))

    whole = network("gru", forward, num_layers=2)
    candidate(whole.r, "gru", 0, 1, suffix="_l1")
    assert compacted(whole).r.weight_hh_l1.shape[1] == UNITS - 2


def test_last_states_of_both_directions_are_read_by_themselves():
    def forward(s, x):
        state = s.r(x)[1]
        return s.h(torch.cat([state[-2], state[-1]], dim=1))

    whole = network("gru", forward, 2 * UNITS, bidirectional=True)
    zero(whole.r.weight_hh_l0, columns=[0, 1])
    zero(whole.r.weight_hh_l0_reverse, columns=[3, 4])
    zero(whole.h.weight, columns=[0, 1, UNITS + 3, UNITS + 4])
    assert compacted(whole).r.weight_hh_l0.shape[1] == UNITS - 2


def test_what_leaves_is_one_call_a_layer_and_can_be_saved(tmp_path):
    whole = network("lstm", num_layers=2).double().eval()
    zero(whole.r.weight_hh_l0, columns=[0])
    zero(whole.r.weight_ih_l1, columns=[0])
    x = torch.randn(3, LENGTH, INPUTS, dtype=torch.float64)
    small = compact(whole, (x,))
    assert sum(n.target is torch.ops.aten.lstm.input for n in small.model.graph.nodes) == 2
    for name in ("small.safetensors", "small.pt2"):
        small.save(tmp_path / name)
        again = load_compacted(tmp_path / name)
        assert_same_function(whole, again, torch.cat([x, x]))
        assert numbers(again) == numbers(small.model)


def test_packed_sequences_are_refused_or_right():
    def forward(s, x):
        packed = pack_padded_sequence(x, torch.tensor([6, 4]), batch_first=True)
        return s.h(s.r(packed)[1][0][-1])

    with pytest.raises(CompactionError):
        compact(network("lstm", forward), (torch.randn(2, LENGTH, INPUTS),))


READS = {
    "last": lambda run, h, x: h(run(x)[0][:, -1]),
    "all": lambda run, h, x: h(run(x)[0]),
    "mean": lambda run, h, x: h(run(x)[0].mean(1)),
    "outputs": lambda run, _, x: run(x)[0],
    "state": lambda run, _, x: run(x)[1],
    "several": lambda run, h, x: (h(run(x)[0]), run(x)[1][-1]),
    "rows": lambda run, _, x: run(x)[1].transpose(0, 1).flatten(1),
}
FORMS = [
    {"num_layers": layers, "bidirectional": both, "bias": bias}
    for layers, both, bias in itertools.product((1, 2, 3), (False, True), (True, False))
]


ALL = [*KINDS, "relu", "projected"]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("batch_first", [True, False])
def test_whatever_is_dead_the_function_stays(kind, batch_first):
    """Every tenth form and reader, others for each kind, so that all have their turn."""
    first = 2 * ALL.index(kind) + batch_first
    for seed, (form, read) in list(enumerate(itertools.product(FORMS, READS)))[first::10]:
        torch.manual_seed(seed)
        compacted(randomly_dead(kind, batch_first, form, read))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_whatever_is_dead_the_function_stays_in_every_form(kind):
    for seed, (form, read) in enumerate(itertools.product(FORMS, READS)):
        torch.manual_seed(100 + seed)
        compacted(randomly_dead(kind, seed % 2 == 0, form, read))


def randomly_dead(kind, batch_first, form, read):
    """Zero units, columns and biases of every weight at random."""
    base = {"relu": "rnn", "projected": "lstm"}.get(kind, kind)
    options = {**form, "batch_first": batch_first}
    options |= {"relu": {"nonlinearity": "relu"}, "projected": {"proj_size": 3}}.get(kind, {})

    def forward(s, x):
        def run(y):
            outputs, state = s.r(y if batch_first else y.transpose(0, 1))
            state = torch.cat(state, dim=2) if base == "lstm" else state
            return outputs if batch_first else outputs.transpose(0, 1), state

        return READS[read](run, s.h, torch.tanh(s.a(x)))

    width = options.get("proj_size", UNITS) * (1 + form["bidirectional"])
    layer = KINDS[base](4, UNITS, **options)
    found = Lambda(forward, a=nn.Linear(INPUTS, 4), r=layer, h=nn.Linear(width, 3))
    with torch.no_grad():
        found.a.weight[torch.rand(4) < 0.3] = 0
        found.a.bias[torch.rand(4) < 0.5] = 0
        found.h.weight[:, torch.rand(width) < 0.4] = 0
        for tensor in layer.parameters():
            if tensor.dim() > 1:
                tensor[:, torch.rand(tensor.shape[1]) < 0.4] = 0
        for suffix in {name.partition("_l")[2] for name, _ in layer.named_parameters()}:
            gates = [p for n, p in layer.named_parameters()
                     if n.endswith(f"_l{suffix}") and "_hr" not in n]  # fmt: skip
            dead = torch.rand(UNITS) < 0.3
            for tensor in gates:
                blocks = tensor.view(GATES[base], UNITS, -1)
                blocks[{"lstm": 2, "gru": 2, "rnn": 0}[base], dead] = 0
    return found
