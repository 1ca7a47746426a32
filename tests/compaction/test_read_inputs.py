"""Inputs that others pin: a layer reads only those among which its live ones lie, at no cost."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from torch import nn


def weights(small):
    return {n: tuple(t.shape) for n, t in small.model.state_dict().items() if n.endswith("weight")}


def test_a_first_layer_reads_neighbouring_inputs_only(compacted):
    network = nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    zero_columns(network[0], 0, 2, 4)
    small = compacted(network, (5, 6, 6))
    assert weights(small) == {"0.weight": (4, 3, 3, 3), "2.weight": (2, 4, 1, 1)}
    assert sorted(small.model.state_dict()) == sorted(network.state_dict())


def test_a_linear_layer_behind_a_pinned_stream_reads_a_slice_of_it(compacted):
    network = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    zero_columns(network[2], 0, 1, 7)
    assert weights(compacted(network, (4,)))["2.weight"] == (3, 5)


def test_of_a_concatenation_each_part_is_read_by_itself_and_a_dead_one_never_made(compacted):
    network = Lambda(
        lambda s, x: s.h(torch.cat([x, torch.tanh(x), s.a(x), torch.sin(x)], 1)) + s.a(x),
        a=nn.Linear(4, 4), h=nn.Linear(16, 4),
    )  # fmt: skip
    zero_columns(network.h, 0, *range(4, 8), 12, 15)
    small = compacted(network, (4,))
    assert weights(small) == {"a.weight": (4, 4), "h.weight": (4, 9)}
    assert sorted(small.model.state_dict()) == sorted(network.state_dict())
    assert "tanh" not in small.model.code


def test_all_inputs_dead_leave_one(compacted):
    network = Lambda(lambda s, x: s.a(x) + x[:, :2], a=nn.Linear(4, 2))
    zero_columns(network.a, *range(4))
    compacted(network, (4,))


def test_columns_that_a_dead_row_reads_do_not_count(compacted):
    network = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    zero_columns(network[0], 0)
    network[0].weight.data[1:, 5] = 0
    zero_columns(network[2], 0)
    assert weights(compacted(network, (6,)))["0.weight"] == (3, 4)


@pytest.mark.parametrize("bias", [0, 0.7])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("dead", [[2], [0, 1], [1, 3], [1]])
def test_a_group_without_outputs_goes_with_its_inputs(dead, padding, bias, compacted):
    grouped = nn.Conv2d(8, 12, 3, padding=padding, groups=4)
    network = nn.Sequential(grouped, nn.Tanh(), nn.Conv2d(12, 2, 1))
    zero_rows(grouped, *(3 * g + i for g in dead for i in range(3)), bias=bias)
    left = 4 - len(dead)
    # Outputs that are a constant other than 0 go to the bias behind: there is no border in between.
    assert weights(compacted(network, (8, 6, 6)))["0.weight"] == (3 * left, 2, 3, 3)


def test_groups_that_are_left_are_as_large_as_the_largest_of_them(compacted):
    grouped = nn.Conv2d(6, 12, 1, groups=3)
    network = nn.Sequential(grouped, nn.Tanh(), nn.Conv2d(12, 2, 1))
    zero_rows(grouped, 0, 1, 2, *range(4, 8), 8, bias=0)
    assert weights(compacted(network, (6, 4, 4)))["0.weight"] == (6, 2, 1, 1)


def test_a_dead_group_behind_another_layer_takes_its_filters_along(compacted, widths):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Tanh(), nn.Conv2d(8, 8, 3, groups=2), nn.Tanh(), nn.Conv2d(8, 2, 1)
    )
    zero_columns(network[4], *range(4))
    assert widths(compacted(network, (3, 6, 6))) == {"0": 4, "2": 4, "4": 2}


def test_a_transposed_convolution_loses_groups_too(compacted):
    network = nn.Sequential(nn.ConvTranspose2d(6, 6, 2, groups=3), nn.Tanh(), nn.Conv2d(6, 2, 1))
    zero_columns(network[2], 2, 3)
    assert weights(compacted(network, (6, 4, 4)))["0.weight"] == (4, 2, 2, 2)


def test_a_shared_grouped_layer_keeps_its_groups(compacted):
    network = Lambda(
        lambda s, x: s.h(torch.tanh(s.g(x)) + torch.sin(s.g(x.flip(3)))),
        g=nn.Conv2d(6, 6, 1, groups=3), h=nn.Conv2d(6, 2, 1),
    )  # fmt: skip
    zero_columns(network.h, 0, 1)
    compacted(network, (6, 4, 4))
