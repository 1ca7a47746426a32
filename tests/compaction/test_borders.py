"""A constant plane is no constant where zero padding is seen: random networks hardly test this."""

import pytest
import torch
from hand_networks import Border, Lambda, zero_columns, zero_rows
from torch import nn


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same"}, {"padding": (0, 1)}])
def test_one_constant_stands_for_all_at_a_padded_convolution(compacted, widths, options):
    found = widths(compacted(Border(nn.Conv2d(6, 6, 3, **options)), (2, 7, 7)))
    assert found == {"first": 4, "middle": 6, "last": 3}


@pytest.mark.parametrize(
    "middle",
    [nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3, padding="valid"), nn.Conv2d(6, 6, 1, padding="same")],
)
def test_without_zeros_at_the_border_constants_move_into_the_bias(compacted, widths, middle):
    assert widths(compacted(Border(middle), (2, 7, 7)))["first"] == 3


def test_a_missing_bias_is_made_when_constants_need_one(compacted):
    small = compacted(Border(nn.Conv2d(6, 6, 3, bias=False)), (2, 7, 7))
    assert small.model.get_parameter("middle.bias").shape == (6,)


def test_zero_constants_need_no_representative(compacted, widths):
    network = Border(nn.Conv2d(6, 6, 3, padding=1), constants=(0.0, 0.0, 0.0))
    assert widths(compacted(network, (2, 7, 7)))["first"] == 3


def test_a_padded_depthwise_convolution_keeps_its_constants_alive(compacted, widths):
    network = Border(nn.Conv2d(6, 6, 3, padding=1, groups=6))
    assert widths(compacted(network, (2, 7, 7)))["first"] == 6


def test_an_unpadded_depthwise_convolution_does_not(compacted, widths):
    network = Border(nn.Conv2d(6, 6, 3, groups=6))
    assert widths(compacted(network, (2, 7, 7)))["first"] == 3


def test_a_padded_grouped_convolution_keeps_its_constants(compacted):
    """One constant in every group, so that nothing else keeps them."""

    def network(padding):
        first, middle = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 3, padding=padding, groups=3)
        zero_rows(first, 0, 2, 4, bias=0.6)
        return nn.Sequential(first, nn.Tanh(), middle)

    assert compacted(network(1), (2, 7, 7)).report.layers[0].units_after == 6
    assert compacted(network(0), (2, 7, 7)).report.layers[0].units_after == 3


@pytest.mark.parametrize("include", [True, False])
def test_padded_average_pooling_makes_constants_live(compacted, widths, include):
    pooling = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=include)
    assert widths(compacted(Border(pooling), (2, 7, 7)))["first"] == 6


@pytest.mark.parametrize("pooling", [nn.AvgPool2d(2), nn.MaxPool2d(3, padding=1)])
def test_other_pooling_leaves_constants_constant(compacted, widths, pooling):
    assert widths(compacted(Border(pooling), (2, 7, 7)))["first"] == 3


def test_average_pooling_with_its_own_divisor_or_ceiling_is_trusted_with_zeros_only(compacted):
    for pooling in (nn.AvgPool2d(2, divisor_override=3), nn.AvgPool2d(2, ceil_mode=True)):
        compacted(Border(pooling), (2, 7, 7))


def test_a_transposed_convolution_has_borders_too(compacted, widths):
    middle = nn.ConvTranspose2d(6, 6, 3, stride=2, padding=1, output_padding=1)
    assert widths(compacted(Border(middle), (2, 5, 5)))["first"] == 4


def test_a_grouped_transposed_convolution_is_exact(compacted):
    middle = nn.ConvTranspose2d(6, 6, 3, groups=2)
    with torch.no_grad():
        middle.weight[0] = 0
    compacted(Border(middle), (2, 5, 5))


def test_a_constant_with_two_readers_serves_both(compacted, widths):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(2, 5, 1)
            self.padded, self.plain = nn.Conv2d(5, 3, 3, padding=1), nn.Conv2d(5, 3, 1)
            zero_rows(self.first, 0, 1, bias=0.8)

        def forward(self, x):
            x = torch.sigmoid(self.first(x))
            return self.padded(x) * self.plain(x)

    assert widths(compacted(Two(), (2, 6, 6))) == {"first": 4, "padded": 3, "plain": 3}


def test_two_padded_readers_may_share_one_representative(compacted, widths):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(2, 5, 1)
            self.a, self.b = nn.Conv2d(5, 3, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1)
            zero_rows(self.first, 0, 1, 2)
            zero_columns(self.a, 0)

        def forward(self, x):
            x = torch.sigmoid(self.first(x))
            return self.a(x) - self.b(x)

    assert widths(compacted(Two(), (2, 6, 6)))["first"] <= 4


def test_spatial_padding_with_the_constant_itself_changes_nothing(compacted, widths):
    network = Border(nn.Sequential(nn.ConstantPad2d(1, 0.25), nn.Conv2d(6, 6, 3)))
    zero_rows(network.first, 0, bias=0.0)
    compacted(network, (2, 5, 5))
    network = Border(nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(6, 6, 3)), (0.0, 0.0, 0.5))
    assert widths(compacted(network, (2, 5, 5)))["first"] == 4


def test_a_kept_class_materialises_its_constant_members(compacted):
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (
                nn.Conv2d(2, 4, 1),
                nn.Conv2d(2, 4, 1),
                nn.Conv2d(4, 3, 3, padding=1),
            )
            zero_rows(self.a, 0, 1)
            zero_rows(self.b, 1, 2)

        def forward(self, x):
            return self.c(torch.cos(self.a(x)) + torch.sin(self.b(x)))

    compacted(Sum(), (2, 5, 5))


def test_a_constant_of_a_sum_counts_behind_an_activation(compacted):
    """The sum may only leave a branch out where that branch adds zero to what is used."""

    class Output(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)
            zero_rows(self.a, 0, bias=1.0)
            zero_rows(self.b, 0, 1, 2, 3, bias=0.0)
            self.b.bias.data[0] = 2.0

        def forward(self, x):
            return torch.relu(self.a(x) + self.b(x))

    compacted(Output(), (3,))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_padded_layer_asks_for_no_constant_that_another_one_reads(compacted, widths, groups):
    network = Lambda(
        lambda s, x: s.h(torch.cat([s.padded(s.a(x)), s.plain(s.a(x))], 1).amax((2, 3))),
        a=nn.Conv2d(2, 4, 1), padded=nn.Conv2d(4, 4, 3, padding=1, groups=groups),
        plain=nn.Conv2d(4, 4, 1), h=nn.Linear(8, 3),
    )  # fmt: skip
    zero_rows(network.a, 0, 1, bias=0.7)
    if groups > 1:
        zero_rows(network.padded, 0, 1)
    else:
        zero_columns(network.padded, 0, 1)
    assert widths(compacted(network, (2, 5, 5)))["a"] == 2
