"""Each kind of layer and operation between two layers with random zero rows and columns."""

import pytest
import torch
from hand_networks import Lambda
from same_function import assert_same_function, numbers
from test_compact import thin_out
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact
from tl1bench.errors import CompactionError


def planes(*middle, width=8):
    """Middle layers between two 1×1 convolutions."""
    return lambda: nn.Sequential(nn.Conv2d(3, 8, 1), *middle, nn.Conv2d(width, 4, 1))


def features(*middle, width=8):
    return lambda: nn.Sequential(nn.Linear(3, 8), *middle, nn.Linear(width, 4))


def steps(*middle, width=8):
    return lambda: nn.Sequential(nn.Conv1d(3, 8, 1), *middle, nn.Conv1d(width, 4, 1))


def between(function, width=8):
    """`function` of the result of one linear layer, read by another."""
    return lambda: Lambda(
        lambda s, x: s.b(function(s.a(x))), a=nn.Linear(3, 8), b=nn.Linear(width, 2)
    )


def between_planes(function):
    return lambda: Lambda(
        lambda s, x: s.b(function(torch.relu(s.a(x)))), a=nn.Conv2d(3, 8, 1), b=nn.Linear(8, 2)
    )


def shuffled(y):
    """Return a channel shuffle, as it is written with flatten instead of views."""
    return y.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)


IMAGE, ROW, LINE = (3, 6, 6), (3,), (3, 12)
# What must shrink: nothing of it is without a rule.
FOLLOWED = {
    "BatchNorm1d": (features(nn.BatchNorm1d(8), nn.ReLU()), ROW),
    "BatchNorm1d over steps": (steps(nn.BatchNorm1d(8), nn.ReLU()), LINE),
    "1-d convolution": (steps(nn.ReLU(), nn.Conv1d(8, 8, 3, padding=1), nn.ReLU()), LINE),
    "1-d transposed convolution": (steps(nn.Tanh(), nn.ConvTranspose1d(8, 8, 3, 2)), LINE),
    "2-d transposed convolution": (planes(nn.Tanh(), nn.ConvTranspose2d(8, 8, 2, 2)), IMAGE),
    "transposed depthwise": (planes(nn.Tanh(), nn.ConvTranspose2d(8, 8, 3, groups=8)), IMAGE),
    "dilated convolution": (planes(nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.ReLU()), IMAGE),
    "depthwise with multiplier": (planes(nn.Conv2d(8, 16, 3, groups=8), width=16), IMAGE),
    "InstanceNorm": (planes(nn.InstanceNorm2d(8, affine=True), nn.ReLU()), IMAGE),
    "InstanceNorm of positions": (steps(nn.InstanceNorm1d(8), nn.ReLU()), LINE),
    "RMSNorm": (features(nn.RMSNorm(8)), ROW),
    "PReLU": (planes(nn.PReLU(8)), IMAGE),
    "PReLU with one slope": (features(nn.PReLU()), ROW),
    "PReLU of features": (features(nn.PReLU(8)), ROW),
    "random leaky ReLU in eval mode": (features(nn.RReLU()), ROW),
    "zero padding": (planes(nn.ReLU(), nn.ZeroPad2d(1)), IMAGE),
    "constant padding": (steps(nn.ReLU(), nn.ConstantPad1d(2, 0.5)), LINE),
    "reflection padding": (planes(nn.ReLU(), nn.ReflectionPad2d(1)), IMAGE),
    "replication padding": (planes(nn.ReLU(), nn.ReplicationPad2d(1)), IMAGE),
    "circular padding": (planes(nn.ReLU(), nn.CircularPad2d(1)), IMAGE),
    "reflecting convolution": (
        planes(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")), IMAGE),
    "channel shuffle by flatten": (
        between_planes(lambda y: shuffled(y).amax((2, 3))), IMAGE),
    "channels under two names": (
        between_planes(lambda y: y.unflatten(1, (8, 1)).squeeze(2).amax((2, 3))), IMAGE),
    "channel shuffle": (planes(nn.ReLU(), nn.ChannelShuffle(2)), IMAGE),
    "adaptive maximum": (planes(nn.ReLU(), nn.AdaptiveMaxPool2d(2)), IMAGE),
    "maximum with a ceiling": (planes(nn.MaxPool2d(3, 2, 1, ceil_mode=True)), IMAGE),
    "power mean": (planes(nn.ReLU(), nn.LPPool2d(2, 2)), IMAGE),
    "nearest": (planes(nn.ReLU(), nn.Upsample(scale_factor=2)), IMAGE),
    "bilinear": (planes(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")), IMAGE),
    "bicubic": (planes(nn.ReLU(), nn.Upsample(scale_factor=2, mode="bicubic")), IMAGE),
    "dropout in eval mode": (features(nn.Dropout(), nn.AlphaDropout()), ROW),
    "weight norm": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(3, 8)), nn.ReLU(), nn.Linear(8, 2)),
        ROW),
    "linear over steps": (features(nn.ReLU()), (5, 3)),
    "number minus x": (between(lambda y: 1 - y), ROW),
    "number over x": (between(lambda y: 1 / (2 + y.abs())), ROW),
    "scaled sum": (between(lambda y: torch.add(y, y.tanh(), alpha=3)), ROW),
    "change of type": (between(lambda y: y.relu().double()), ROW),
    "one step of many": (between(lambda y: y.relu()[:, -1]), (5, 3)),
    "last features": (between(lambda y: y[:, -3:], 3), ROW),
    "sum over positions": (between_planes(lambda y: y.sum((2, 3))), IMAGE),
    "turned over": (between_planes(lambda y: y.flip(3).amax((2, 3))), IMAGE),
    "rolled": (between_planes(lambda y: y.roll((1, 1), (2, 3)).mean((2, 3))), IMAGE),
    "expanded": (
        between_planes(lambda y: y.mean((2, 3), True).expand(-1, -1, 4, 4).amax((2, 3))), IMAGE),
}  # fmt: skip
# What pins the stream, by the name that the report gives.
PINNED = {
    "norm over two axes": (
        features(nn.LayerNorm((5, 8)), nn.Linear(8, 6), nn.ReLU(), width=6), (5, 3),
        {"layer_norm"}),
    "running sum": (between(lambda y: y.cumsum(1)), ROW, {"cumsum"}),
    "flip of channels": (between(lambda y: y.flip(1)), ROW, {"flip"}),
    "channels as rows of an image": (
        between_planes(lambda y: F.max_pool2d(y.flatten(2), (1, 3)).amax(2)), IMAGE,
        {"max_pool2d"}),
    "one channel for many": (
        between_planes(lambda y: y.amax(1, keepdim=True).expand(-1, 8, -1, -1).amax((2, 3))),
        IMAGE, {"amax"}),
    "one channel": (between(lambda y: y[:, 2:3].relu() + y.cumsum(1)), ROW, {"cumsum"}),
    "condition": (between(lambda y: torch.where(y > 0, y, 0.1)), ROW, {"gt"}),
}  # fmt: skip


@pytest.mark.parametrize("construct", FOLLOWED)
def test_channels_are_followed_through(construct, compacted):
    build, shape = FOLLOWED[construct]
    small = compacted(thin_out(build(), 0.4, 4), shape)
    assert small.report.opaque == ()
    first = small.report.layers[0]
    assert first.units_after < first.units_before


@pytest.mark.parametrize("construct", PINNED)
def test_what_has_no_rule_pins_its_operands_and_is_reported(construct, compacted):
    build, shape, opaque = PINNED[construct]
    small = compacted(thin_out(build(), 0.4, 4), shape)
    assert set(small.report.opaque) == opaque
    first = small.report.layers[0]
    assert first.units_after == first.units_before


def test_units_inside_a_pinned_stream_still_go(compacted):
    build, shape, _ = PINNED["norm over two axes"]
    network = build()
    with torch.no_grad():
        network[-1].weight[:, :3] = 0
    assert compacted(network, shape).report.layers[-2].units_after == 3


def test_several_inputs_of_several_shapes_shrink_together():
    network = Lambda(
        lambda s, x, y: (s.c(torch.relu(s.a(x)) + s.b(y)), s.b(y).sum(1, keepdim=True)),
        a=nn.Linear(3, 6), b=nn.Linear(4, 6), c=nn.Linear(6, 2),
    ).double()  # fmt: skip
    with torch.no_grad():
        network.a.weight[:2] = 0
        network.b.weight[:2] = 0
        network.b.bias[:2] = 0
    inputs = tuple(torch.randn(2, n, dtype=torch.float64) for n in (3, 4))
    small = compact(network, inputs)
    others = tuple(torch.randn(5, n, dtype=torch.float64) for n in (3, 4))
    torch.testing.assert_close(small.model(*others), network(*others), rtol=0, atol=1e-12)
    assert numbers(small.model) <= numbers(network)


def test_a_channel_shuffle_by_flatten_that_loses_nothing_is_written_as_it_is(compacted):
    compacted(between_planes(lambda y: shuffled(y).amax((2, 3)))(), IMAGE)


def test_a_vector_may_be_a_factor():
    """A known operand with fewer dimensions than the channels' tensor."""
    network = Lambda(
        lambda s, x: s.b(torch.relu(s.a(x)) * s.scale + 1), a=nn.Linear(3, 6), b=nn.Linear(6, 2)
    )
    network.register_buffer("scale", torch.tensor([0.0, 1, 2, 0, 1, 3]))
    small = compact(network.double(), torch.randn(2, 3, dtype=torch.float64))
    assert small.report.layers[0].units_after == 4
    assert_same_function(network, small.model, torch.randn(5, 3, dtype=torch.float64))


@pytest.mark.parametrize("laid", [lambda p, n: p.repeat(n, 1, 1), lambda p, n: p.tile((n, 1, 1))])
def test_positions_that_go_through_a_layer_and_are_laid_out_for_every_example_stay(laid):
    def run(s, x):
        places = torch.arange(5).to(x.dtype)[None, :, None]
        return s.b(torch.relu(s.a(x) + laid(s.places(places), x.shape[0])))

    network = Lambda(run, a=nn.Linear(3, 8), places=nn.Linear(1, 8), b=nn.Linear(8, 2)).double()
    thin_out(network, 0.4, 4)
    small = compact(network, torch.randn(2, 5, 3, dtype=torch.float64))
    assert_same_function(network, small.model, torch.randn(4, 5, 3, dtype=torch.float64))


def test_dropout_that_stays_on_is_refused():
    with pytest.raises(CompactionError, match="random numbers"):
        compact(Lambda(lambda s, x: F.rrelu(x, training=True)), torch.randn(2, 3))
