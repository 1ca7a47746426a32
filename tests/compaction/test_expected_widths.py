"""On networks small enough to count by hand, exactly the expected channels are left."""

import pytest
import torch
from hand_networks import (
    Attention,
    Dense,
    Grouped,
    LeNet5,
    PaddedShortcut,
    Residual,
    Separable,
    Shared,
    Shuffle,
    SqueezeExcite,
    randomise,
    zero_columns,
    zero_rows,
)
from torch import nn


def test_lenet5_loses_filters_flattened_inputs_and_hidden_units(compacted, widths):
    network = LeNet5()
    zero_rows(network.conv1, *range(15))
    zero_rows(network.conv2, *range(40))
    zero_rows(network.fc1, *range(484))
    small = compacted(network, (1, 28, 28))
    assert widths(small) == {"conv1": 5, "conv2": 10, "fc1": 16, "fc2": 10}
    assert small.report.architecture == "5-10-160-16"
    assert small.report.weights_after == 5 * 25 + 10 * 5 * 25 + 16 * 160 + 160
    assert small.report.macs_after == 24 * 24 * 125 + 8 * 8 * 1250 + 16 * 160 + 160
    assert small.model.get_parameter("fc1.weight").shape == (16, 160)


def test_lenet5_loses_units_that_nobody_reads(compacted):
    network = LeNet5()
    zero_columns(network.conv2, *range(3, 20))
    zero_columns(network.fc2, *range(7, 500))
    assert compacted(network, (1, 28, 28)).report.architecture == "3-50-800-7"


def test_dense_lenet5_keeps_every_shape(compacted):
    network = LeNet5()
    small = compacted(network, (1, 28, 28))
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert {name: value.shape for name, value in small.model.state_dict().items()} == shapes
    assert small.report.architecture == "20-50-800-500"


def test_a_perceptron_reports_its_live_pixels_and_gathers_them_on_request(compacted):
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3))
    zero_columns(network[1], *range(8, 28))
    zero_rows(network[1], 0, 5)
    plain = compacted(network, (1, 6, 6))
    assert plain.report.architecture == "16-10"
    assert plain.report.weights_after == 36 * 10 + 30
    picked = compacted(network, (1, 6, 6), gather=0.1)
    assert picked.report.architecture == "16-10"
    assert picked.report.weights_after == 16 * 10 + 30


def test_a_residual_stream_loses_a_channel_only_when_all_its_members_do(compacted, widths):
    network = randomise(Residual())
    zero_rows(network.outer, 0, 1, 2, bias=0)
    network.bn.weight.data[[1, 2, 3]] = 0
    zero_rows(network.inner, 4, 5)
    assert widths(compacted(network, (3, 8, 8))) == {"stem": 6, "inner": 4, "outer": 6, "head": 4}


def test_a_branch_of_constants_becomes_a_buffer(compacted, widths):
    network = randomise(Residual())
    zero_rows(network.outer, *range(8))
    small = compacted(network, (3, 8, 8))
    assert widths(small) == {"stem": 8, "inner": 0, "outer": 0, "head": 4}
    assert [b.shape for _, b in small.model.named_buffers() if b.dim() == 3] == [(8, 1, 1)]


def test_a_branch_of_zeros_vanishes(compacted):
    network = randomise(Residual())
    zero_rows(network.outer, *range(8), bias=0)
    small = compacted(network, (3, 8, 8))
    assert not any("constant" in name for name in small.model.state_dict())


def test_concatenated_channels_shrink_in_every_reader(compacted, widths):
    network = Dense()
    zero_rows(network.a, 0)
    zero_rows(network.b, 2, 3)
    zero_rows(network.c, 1)
    small = compacted(network, (3, 6, 6))
    # The dropped constants are not zero after the ReLU: one of them may stay as representative.
    assert small.report.opaque == ()
    assert widths(small)["c"] == 3
    assert small.model.get_parameter("head.weight").shape[1] <= 9
    zero = Dense()
    zero_rows(zero.a, 0, bias=0)
    zero_rows(zero.b, 2, 3, bias=0)
    zero_rows(zero.c, 1, bias=0)
    assert widths(compacted(zero, (3, 6, 6))) == {"a": 3, "b": 2, "c": 3, "head": 3}


@pytest.mark.parametrize("normalised", [True, False])
def test_a_depthwise_block_shrinks_through(compacted, widths, normalised):
    network = randomise(Separable(normalised=normalised))
    zero_rows(network.depth, 0, 1)
    zero_columns(network.project, 2)
    assert widths(compacted(network, (3, 6, 6))) == {"expand": 5, "depth": 5, "project": 4}


def test_normalisation_with_scale_zero_removes_the_channel(compacted, widths):
    network = randomise(Separable())
    network.bn.weight.data[[0, 3, 4]] = 0
    assert widths(compacted(network, (3, 6, 6))) == {"expand": 5, "depth": 5, "project": 4}


def test_a_grouped_convolution_keeps_groups_of_equal_size(compacted):
    network = Grouped()
    zero_columns(network.b, *range(3))  # the whole first group is unread
    zero_columns(network.b, 3, 6, 9, 10)  # and 1, 1, 2 outputs of the others
    small = compacted(network, (3, 5, 5))
    assert small.model.get_parameter("g.weight").shape == (6, 2, 3, 3)
    assert small.model.get_parameter("a.weight").shape[0] == 6


def test_squeeze_and_excite_shrinks_gate_and_stream_together(compacted, widths):
    network = SqueezeExcite()
    zero_columns(network.head, 0, 1, 2)
    zero_columns(network.down, 0, 1)
    zero_rows(network.down, 3, bias=-1)
    found = widths(compacted(network, (3, 6, 6)))
    assert found == {"conv": 6, "head": 2, "down": 3, "up": 6}


def test_a_channel_shuffle_is_followed(compacted, widths):
    network = Shuffle()
    zero_columns(network.b, 0)
    small = compacted(network, (3, 6, 6))
    assert widths(small) == {"a": 6, "d": 6, "b": 2}
    assert small.report.opaque == ()


def test_a_shared_layer_shrinks_only_where_all_its_calls_allow(compacted, widths):
    network = Shared()
    zero_rows(network.twice, 0, 1, bias=0)
    zero_columns(network.twice, 0, 2)
    zero_columns(network.last, 0, 1, 2)
    assert widths(compacted(network, (5,))) == {"first": 6, "twice": 6, "last": 2}


def test_appended_zero_channels_are_followed(compacted, widths):
    network = PaddedShortcut()
    zero_rows(network.b, 0, 1, 7)
    zero_rows(network.a, 2, bias=-1)
    zero_rows(network.b, 4)
    small = compacted(network, (3, 6, 6))
    assert widths(small) == {"a": 3, "b": 4, "head": 2}
    assert small.report.opaque == ()


def test_hidden_units_leave_a_block_of_attention(compacted, widths):
    network = Attention()
    zero_columns(network.down, *range(10))
    small = compacted(network, (5, 8))
    assert widths(small)["up"] == 6
    assert small.report.opaque == ()
    assert small.report.layers[-1].kept_because == "8 used"


def test_the_report_names_what_keeps_an_idle_unit(compacted):
    network = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (1, 6)), nn.LayerNorm((1, 6)),
                            nn.Flatten(), nn.Linear(6, 2))  # fmt: skip
    zero_rows(network[0], 0, 1)
    small = compacted(network, (4,))
    assert small.report.layers[0].kept_because == "4 used, 2 read or written by layer_norm"
    assert "layer_norm" in str(small.report)


def test_a_factor_of_zero_removes_the_channel(compacted, widths):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)
            self.scale = nn.Parameter(torch.tensor([0.0, 1, 2, 0])[:, None, None])

        def forward(self, x):
            return self.b(torch.cos(self.scale * self.a(x)))

    assert widths(compacted(Scaled(), (2, 4, 4))) == {"a": 2, "b": 3}


def test_an_index_that_costs_more_than_it_saves_is_not_written(compacted):
    network = nn.Sequential(nn.Linear(10, 1, bias=False))
    zero_columns(network[0], 4)
    assert compacted(network, (10,), gather=0.0).report.layers[0].inputs_after == 10


def test_folded_masks_count_as_zeros(compacted):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
            self.register_buffer("mask", torch.tensor([0.0, 1, 1, 0, 1, 1])[:, None])

        def forward(self, x):
            return self.b(torch.relu(nn.functional.linear(x, self.a.weight * self.mask)))

    small = compacted(Masked(), (4,))
    assert [layer.units_after for layer in small.report.layers] == [4, 2]


def test_matrix_products_with_a_parameter_shrink(compacted):
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.v = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6, 2))

        def forward(self, x):
            return torch.addmm(self.v[0], torch.cos(x @ self.w), self.v)

    network = Product()
    network.w.data[:, :2] = 0
    small = compacted(network, (4,))
    assert [layer.units_after for layer in small.report.layers] == [4, 2]


def test_a_network_that_is_constant_still_has_a_batch(compacted):
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    zero_rows(network[2], 0, 1)
    assert [layer.units_after for layer in compacted(network, (4,)).report.layers] == [1, 2]
