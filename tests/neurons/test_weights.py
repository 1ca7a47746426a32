"""Which weights are penalised, why others are not, and the groups of layers seen by themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tl1bench import neurons
from tl1bench.neurons.weights import alone, exempt, layouts


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.attend = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.own = nn.Parameter(torch.randn(6, 6))
        self.head = nn.Linear(6, 3)


def test_weights_are_those_of_layers_that_are_known() -> None:
    model = Everything()
    assert neurons.weight_layers(model) == (
        "embed.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "attend.in_proj_weight",
        "attend.out_proj.weight", "head.weight",
    )  # fmt: skip
    why = exempt(model)
    assert set(why) == {n for n, _ in model.named_parameters()} - set(neurons.weight_layers(model))
    assert why["norm.weight"] == "normalisation"
    assert why["head.bias"] == why["lstm.bias_hh_l0"] == "a bias"
    assert why["own"] == "Everything is no layer whose weights are known: name it in penalise="


def test_tied_weights_are_named_once() -> None:
    model = Everything()
    model.own = nn.Parameter(torch.zeros(1))
    model.head = nn.Linear(6, 11, bias=False)
    model.head.weight = model.embed.weight
    names = neurons.weight_layers(model)
    assert "embed.weight" in names
    assert "head.weight" not in names


def found(model: nn.Module, side: str) -> list[neurons.Groups]:
    names = neurons.weight_layers(model)
    shapes = {n: p.shape for n, p in model.named_parameters()}
    return [
        neurons.make_groups(0, len(names), slices, shapes)
        for slices in alone(names, [side] * len(names), shapes, layouts(model))
    ]


@pytest.mark.parametrize("side", ["outgoing", "incoming", "as_coded"])
def test_by_themselves_every_weight_is_in_exactly_one_group(side: str) -> None:
    model = Everything()
    marks = {n: torch.zeros(model.get_parameter(n).shape) for n in neurons.weight_layers(model)}
    for block in found(model, side):
        numbers = {n: torch.arange(t.numel()).view(t.shape).double() for n, t in marks.items()}
        for name in {piece.tensor for piece in block.slices}:
            alone_here = {n: t if n == name else t * 0 - 1 for n, t in numbers.items()}
            seen = block.gather(alone_here)
            marks[name].view(-1)[seen[seen >= 0].long()] += 1
    assert all((t == 1).all() for t in marks.values())


@pytest.mark.parametrize(
    ("layer", "gates"),
    [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1), (nn.LSTMCell, 4), (nn.GRUCell, 3)],
)
def test_a_hidden_unit_is_its_rows_over_all_gates(layer: type[nn.Module], gates: int) -> None:
    model = layer(6, 5)
    (block,) = found(model, "incoming")
    assert (block.count, block.members) == (5, gates * (6 + 5))
    values = torch.zeros(5, block.members)
    values[2] = 1.0
    parameters = {n: p.detach().clone() for n, p in model.named_parameters()}
    block.scatter_(parameters, values)
    for name in neurons.weight_layers(model):
        rows = parameters[name].view(gates, 5, -1)
        assert (rows[:, 2] == 1).all()
        assert rows.sum() == rows[:, 2].numel()


def test_projections_and_both_directions_have_groups_of_their_own() -> None:
    model = nn.LSTM(6, 5, proj_size=3, bidirectional=True, num_layers=2)
    blocks = found(model, "incoming")
    names = [tuple(piece.tensor for piece in block.slices) for block in blocks]
    assert ("weight_ih_l0", "weight_hh_l0") in names
    assert ("weight_ih_l1_reverse", "weight_hh_l1_reverse") in names
    assert ("weight_hr_l0",) in names


def test_a_head_is_its_rows_of_queries_keys_and_values() -> None:
    model = nn.MultiheadAttention(6, 2)
    block = found(model, "incoming")[-1]
    assert (block.count, block.members) == (2, 3 * 3 * 6)
    weight = model.in_proj_weight.detach()
    first = torch.cat([weight[0:3], weight[6:9], weight[12:15]])
    assert torch.equal(block.gather(dict(model.named_parameters()))[0], first.flatten())


@pytest.mark.parametrize("side", ["outgoing", "incoming", "both", "as_coded"])
def test_an_embedding_is_grouped_by_dimension_from_every_side(side: str) -> None:
    model = nn.Embedding(11, 6)
    (block,) = found(model, side)
    assert torch.equal(block.gather(dict(model.named_parameters())), model.weight.t())


def test_what_only_runs_a_network_is_looked_through() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = torch.zeros(2, 4)
    wrapped = torch.compile(nn.DataParallel(model), backend="eager")
    assert neurons.weight_layers(wrapped) == ("0.weight", "2.weight")
    plain = neurons.groups(model, x)
    for one, other in zip(neurons.groups(wrapped, x), plain, strict=True):
        assert [p.tensor for p in one.slices] == [p.tensor for p in other.slices]


def test_groups_of_chosen_weights_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    (block,) = neurons.groups(model, torch.zeros(2, 4), "outgoing", ["2.weight"])
    assert (block.layer, block.layers, block.count) == (0, 1, 3)
    bias, last = neurons.groups(model, torch.zeros(2, 4), "incoming", ["0.bias", "2.weight"])
    assert (bias.count, bias.members, last.count) == (3, 1, 2)
