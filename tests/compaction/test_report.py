"""The report: what was there, what is left, and for every unit that stayed the reason."""

import json
from dataclasses import asdict

import torch
from hand_networks import Border, Grouped, Lambda, Residual, randomise, zero_columns, zero_rows
from same_function import numbers
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact


def reasons(small):
    return {layer.name: layer.reasons for layer in small.report.layers}


def test_a_coupled_unit_names_the_layer_it_is_coupled_to(compacted):
    network = randomise(Residual())
    zero_rows(network.outer, 0, 1, bias=0)
    found = reasons(compacted(network, (3, 8, 8)))
    assert found["outer"] == {"used": 6, "coupled to stem": 2}
    assert found["stem"] == {"used": 8}


def test_a_representative_names_the_border_it_stands_at(compacted):
    network = Border(nn.Conv2d(6, 6, 3, padding=1))
    found = reasons(compacted(network, (2, 7, 7)))
    assert found["first"] == {"used": 3, "constant at the border of middle": 1}


def test_a_unit_that_fills_a_group_names_the_groups(compacted):
    network = Grouped()
    zero_columns(network.b, *range(3), 3, 6, 9, 10)
    found = reasons(compacted(network, (3, 5, 5)))
    assert found["g"] == {"used": 5, "equal groups of g": 1}


def pinned():
    return nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (1, 6)), nn.LayerNorm((1, 6)),
                         nn.Flatten(), nn.Linear(6, 2))  # fmt: skip


def test_a_forced_unit_names_the_operation(compacted):
    network = pinned()
    zero_rows(network[0], 0, 1)
    small = compacted(network, (4,))
    assert small.report.layers[0].reasons == {"used": 4, "read or written by layer_norm": 2}


def test_reasons_add_up_to_the_units_that_stay(compacted):
    network = randomise(Residual())
    zero_rows(network.inner, 2, bias=0.3)
    zero_rows(network.outer, 0, 1)
    network.bn.weight.data[[1, 5]] = 0
    for layer in compacted(network, (3, 8, 8)).report.layers:
        assert sum(layer.reasons.values()) == layer.units_after


def test_the_ideal_counts_needed_rows_times_live_columns(compacted):
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(),
                            nn.Linear(6, 2))  # fmt: skip
    zero_rows(network[0], 0)
    zero_columns(network[2], 1, 2)
    zero_rows(network[2], 4, 5)
    small = compacted(network, (4,)).report
    assert [layer.weights_ideal for layer in small.layers] == [3 * 4, 4 * 3, 2 * 4]
    assert small.weights_ideal == small.weights_after == 32


def test_the_table_has_a_line_for_each_layer_and_what_has_no_rule(compacted):
    lines = str(compacted(pinned(), (4,)).report).splitlines()
    assert lines[0].split()[:3] == ["layer", "kind", "units"]
    assert lines[1].split() == ["0", "linear", "6", "→", "6", "4", "→", "4", "24", "→", "24", "24",
                                "24", "→", "24", "24", "6", "used"]  # fmt: skip
    assert [line.split()[0] for line in lines[3:6]] == ["biases", "normalisation", "total"]
    assert lines[5].split()[1:5] == ["56", "→", "56", "50"]
    assert lines[6] == "kept whole (no rule): layer_norm (21.4% of all numbers)"


def test_every_stored_number_is_counted_once():
    """Recurrent layers, a table, normalisation and a free parameter; the table is read twice."""
    network = Lambda(
        lambda s, t: F.linear(s.n(s.r(s.e(t) + s.p)[0][:, -1]), s.e.weight),
        e=nn.Embedding(11, 8), r=nn.GRU(8, 8, 2, batch_first=True), n=nn.LayerNorm(8),
        p=nn.Parameter(torch.randn(5, 8)),
    ).double()  # fmt: skip
    found = compact(network, (torch.randint(0, 11, (2, 5)),))
    report = found.report
    assert report.numbers_before == numbers(network)
    assert report.numbers_after == numbers(found.model)
    assert report.numbers_nonzero == sum(int(t.count_nonzero()) for t in network.parameters())
    kinds = {rest.kind: (rest.numbers_before, rest.numbers_after) for rest in report.rest}
    assert kinds == {"biases": (96, 96), "normalisation": (16, 16), "others": (40, 40)}
    layers = {layer.name: layer.weights_before for layer in report.layers}
    assert layers == {"e": 88, "r.l0": 384, "r.l1": 384}
    assert sum(layers.values()) + 96 + 16 + 40 == report.numbers_before


def test_a_recurrent_layer_is_used_at_every_position(compacted):
    network = Lambda(
        lambda s, x: s.h(s.r(x)[0][:, -1]), r=nn.LSTM(3, 5, batch_first=True), h=nn.Linear(5, 2)
    )
    with torch.no_grad():
        network.r.weight_hh_l0[:, :2] = 0
        network.h.weight[:, :2] = 0
    layer = compacted(network, (7, 3)).report.layers[0]
    assert (layer.name, layer.kind, layer.units_before, layer.units_after) == ("r.l0", "lstm", 5, 3)
    assert (layer.weights_before, layer.weights_after) == (20 * (3 + 5), 12 * (3 + 3))
    assert layer.weights_ideal == layer.weights_after
    assert layer.macs_after == 7 * layer.weights_after


def test_a_report_is_plain_data(compacted):
    small = compacted(Border(nn.Conv2d(6, 6, 3, padding=1)), (2, 7, 7))
    assert json.loads(json.dumps(asdict(small.report)))["layers"][0]["units_after"] == 4


def test_the_written_module_is_code_that_stands_alone(compacted):
    network = randomise(Residual())
    zero_rows(network.inner, 1, 2, bias=0)
    model = compacted(network, (3, 8, 8)).model
    assert "self.inner.weight" in model.code
    scope = {"torch": torch}
    exec(model.code, scope)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(scope["forward"](model, x), model(x), rtol=0, atol=0)
