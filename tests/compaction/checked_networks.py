"""Hand networks with zeros put in by hand, and what must be left of each.

Long because it is a collection: one network for every rule and every exception to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from hand_networks import (
    Attention,
    Border,
    Dense,
    Grouped,
    Lambda,
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
from same_function import assert_same_function, numbers
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import Compactor


@dataclass
class Check:
    """A hand network, the units that must be left in each layer, and what has no rule."""

    name: str
    network: nn.Module
    shape: tuple[int, ...]
    widths: dict[str, int]
    opaque: set[str] = field(default_factory=set)
    gather: float | None = None

    def __post_init__(self) -> None:
        self.network = self.network.double().eval()
        torch.manual_seed(1)
        self.compactor = Compactor(self.network, torch.randn(2, *self.shape, dtype=torch.float64))
        self.x = torch.randn(5, *self.shape, dtype=torch.float64)

    def run(self) -> None:
        """Compact and assert: same function, no larger, as small as expected."""
        small = self.compactor.compact(gather=self.gather)
        assert_same_function(self.network, small.model, self.x)
        assert numbers(small.model) <= numbers(self.network)
        assert {layer.name: layer.units_after for layer in small.report.layers} == self.widths
        assert set(small.report.opaque) == self.opaque


def checks() -> list[Check]:
    """Build all hand networks; the zeros are put in by hand."""
    torch.manual_seed(0)
    return [*_borders(), *_flows(), *_sums(), *_forms()]


def _border(name: str, middle: nn.Module, first: int, shape=(2, 7, 7), **options) -> Check:
    expected = {"first": first, "last": 3}
    if any(True for _ in middle.parameters()):
        depthwise = isinstance(middle, nn.Conv2d) and middle.groups == 6
        expected = {"first": first, "middle": first if depthwise else 6, "last": 3}
    return Check(name, Border(middle, **options), shape, expected)


def _borders() -> list[Check]:
    def grouped(padding: int) -> nn.Module:
        first, middle = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 3, padding=padding, groups=3)
        zero_rows(first, 0, 2, 4, bias=0.6)
        return nn.Sequential(first, nn.Tanh(), middle)

    def scaled() -> nn.Module:
        """Constants that only the BatchNorm makes, in front of a border."""
        network = nn.Sequential(
            nn.Conv2d(2, 5, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 3, 3, padding=1, bias=False),
        )  # fmt: skip
        randomise(network)
        network[1].weight.data[[0, 1]] = 0
        network[1].bias.data[[0, 1]] = torch.tensor([0.5, 0.9])
        return network

    def normalised() -> nn.Module:
        """Constants of a convolution that a BatchNorm maps to others."""
        network = randomise(
            nn.Sequential(nn.Conv2d(2, 5, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 3, 3))
        )
        zero_rows(network[0], 0, 1, bias=2.0)
        network[1].weight.data[3] = 0
        return network

    half = nn.ConvTranspose2d(6, 6, 3, stride=2, padding=1, output_padding=1)
    return [
        _border("padded convolution", nn.Conv2d(6, 6, 3, padding=1), 4),
        _border("'same' convolution", nn.Conv2d(6, 6, 3, padding="same"), 4),
        _border("plain convolution", nn.Conv2d(6, 6, 3, bias=False), 3),
        _border("padded depthwise", nn.Conv2d(6, 6, 3, padding=1, groups=6), 6),
        _border("plain depthwise", nn.Conv2d(6, 6, 3, groups=6), 3),
        _border("transposed convolution", half, 4, (2, 5, 5)),
        _border("padded average", nn.AvgPool2d(3, 2, 1), 6),
        _border("padded average, zeros not counted",
                nn.AvgPool2d(3, 2, 1, count_include_pad=False), 6),
        _border("average with a divisor", nn.AvgPool2d(2, divisor_override=3), 6),
        _border("plain average", nn.AvgPool2d(2), 3),
        _border("padded maximum", nn.MaxPool2d(3, padding=1), 3),
        _border("reflected border", nn.ReflectionPad2d(1), 3),
        _border("zeros around", nn.ZeroPad2d(1), 5, constants=(0.0, -0.4, 1.3)),
        Check("padded groups", grouped(1), (2, 7, 7), {"0": 6, "2": 6}),
        Check("plain groups", grouped(0), (2, 7, 7), {"0": 3, "2": 6}),
        Check("constants through BatchNorm", normalised(), (2, 5, 5), {"0": 2, "2": 3}),
        Check("BatchNorm in front of a border", scaled(), (2, 5, 5), {"0": 4, "3": 3}),
    ]  # fmt: skip


def _flows() -> list[Check]:
    lenet = LeNet5()
    zero_rows(lenet.conv2, *range(40), bias=0.3)
    zero_rows(lenet.fc1, *range(480), bias=0.2)
    zero_columns(lenet.fc1, *range(16 * 44, 16 * 45))
    dense = Dense()
    zero_rows(dense.a, 0, bias=0)
    zero_rows(dense.b, 2, 3, bias=0)
    zero_rows(dense.c, 1, bias=0)
    zero_columns(dense.head, 8)
    shuffle = Shuffle()
    zero_columns(shuffle.b, 0)
    mixed = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.ReLU(), nn.ChannelShuffle(2), nn.Conv2d(6, 4, 1)
    )  # fmt: skip
    zero_columns(mixed[3], 1, 2)
    shortcut = PaddedShortcut()
    zero_rows(shortcut.b, 0, 1, 7)
    zero_rows(shortcut.a, 2, bias=-1)
    zero_rows(shortcut.b, 4)
    uneven = Lambda(
        lambda s, x: s.b(s.a(x).split([3, 1, 4], 1)[2]), a=nn.Linear(4, 8), b=nn.Linear(4, 2)
    )
    zero_columns(uneven.b, 3)
    pads = Lambda(
        lambda s, x: s.b(F.pad(s.a(x), (2, 1))), a=nn.Linear(4, 5), b=nn.Linear(8, 3)
    )  # fmt: skip
    zero_columns(pads.b, 2, 3)
    return [
        Check("flatten", lenet, (1, 28, 28), {"conv1": 20, "conv2": 9, "fc1": 20, "fc2": 10}),
        Check("concatenation", dense, (3, 6, 6), {"a": 3, "b": 2, "c": 2, "head": 3}),
        Check("channel shuffle by views", shuffle, (3, 6, 6), {"a": 6, "d": 6, "b": 2}),
        Check("channel shuffle", mixed, (3, 4, 4), {"0": 4, "3": 4}),
        Check("appended channels", shortcut, (3, 6, 6), {"a": 3, "b": 4, "head": 2}),
        Check("uneven split", uneven, (4,), {"a": 3, "b": 2}),
        Check("padded features", pads, (4,), {"a": 3, "b": 3}),
    ]


def _sums() -> list[Check]:
    residual = randomise(Residual())
    zero_rows(residual.outer, 0, 1, 2, bias=0)
    residual.bn.weight.data[[1, 2, 3]] = 0
    residual.bn.bias.data[[1, 2, 3]] = torch.tensor([0.4, 0.7, -0.2])
    zero_rows(residual.inner, 4, 5, bias=0.3)
    branch = randomise(Residual())
    zero_rows(branch.outer, *range(8))
    gate = Lambda(
        lambda s, x: s.b(torch.relu(s.a(x)).mean((2, 3), keepdim=True) * torch.sigmoid(s.g(x))),
        a=nn.Conv2d(3, 8, 1), g=nn.Conv2d(3, 1, 1), b=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    zero_rows(gate.a, 0, 1, bias=-1)
    zero_rows(gate.g, 0, bias=0.3)
    minus = Lambda(
        lambda s, x: s.c(s.a(x) - s.b(x)),
        a=nn.Linear(3, 6), b=nn.Linear(3, 6), c=nn.Linear(6, 2),
    )  # fmt: skip
    zero_rows(minus.a, *range(6), bias=0)
    kept = Lambda(
        lambda s, x: s.last(torch.relu(s.m(s.first(x)) + s.q(x))) + s.p(s.first(x)),
        first=nn.Conv2d(2, 5, 1), m=nn.Conv2d(5, 4, 1), q=nn.Conv2d(2, 4, 1),
        p=nn.Conv2d(5, 3, 3, padding=1), last=nn.Conv2d(4, 3, 1),
    )  # fmt: skip
    zero_rows(kept.first, 0, bias=0.8)
    kept.m.weight.data[2, 1:] = 0
    squeeze = SqueezeExcite()
    zero_columns(squeeze.head, 0, 1, 2)
    zero_columns(squeeze.down, 0, 1)
    zero_rows(squeeze.down, 3, bias=-1)
    return [
        Check("residual sum", residual, (3, 8, 8),
              {"stem": 7, "inner": 4, "outer": 7, "head": 4}),
        Check("branch of constants", branch, (3, 8, 8),
              {"stem": 8, "inner": 0, "outer": 0, "head": 4}),
        Check("one gate for all", gate, (3, 4, 4), {"a": 6, "g": 1, "b": 2}),
        Check("zero minus x", minus, (3,), {"a": 0, "b": 6, "c": 2}),
        Check("constant made of a kept constant", kept, (2, 5, 5),
              {"first": 5, "m": 4, "q": 4, "p": 3, "last": 3}),
        Check("squeeze and excite", squeeze, (3, 6, 6),
              {"conv": 6, "head": 2, "down": 3, "up": 6}),
    ]  # fmt: skip


def _forms() -> list[Check]:
    separable = randomise(Separable())
    separable.bn.weight.data[[0, 3]] = 0
    zero_columns(separable.project, 2)
    groups = Grouped()
    zero_columns(groups.b, *range(3), 3, 6, 9, 10)
    shared = Shared()
    zero_rows(shared.twice, 0, 1, bias=0)
    zero_columns(shared.twice, 0, 2)
    zero_columns(shared.last, 0, 1, 2)
    constant = Shared()
    zero_rows(constant.first, 3, 4, bias=0.8)

    def pair(*rows: int) -> nn.Module:
        network = Lambda(
            lambda s, x: s.t(s.a(x)) * s.t(s.b(x)),
            a=nn.Linear(4, 6), b=nn.Linear(4, 6), t=nn.Linear(6, 3),
        )  # fmt: skip
        zero_rows(network.a, *rows, bias=0.8)
        zero_rows(network.b, 0, bias=0.5)
        return network

    two = Lambda(
        lambda s, x: s.project(torch.relu(s.depth(s.expand(x)))) + s.other(s.expand(x)),
        expand=nn.Conv2d(3, 6, 1), depth=nn.Conv2d(6, 6, 1, groups=6),
        project=nn.Conv2d(6, 2, 1), other=nn.Conv2d(6, 2, 1),
    )  # fmt: skip
    zero_columns(two.project, 2)
    chain = Lambda(
        lambda s, x: s.b(torch.tanh(s.h(torch.tanh(s.g(torch.tanh(s.a(x))))))),
        a=nn.Conv2d(3, 8, 1), g=nn.Conv2d(8, 8, 1, groups=2), h=nn.Conv2d(8, 8, 1, groups=4),
        b=nn.Conv2d(8, 2, 1),
    )  # fmt: skip
    zero_columns(chain.h, 1)
    zero_columns(chain.b, 6, 7)
    attention = Attention()
    zero_columns(attention.down, *range(10))
    slopes = nn.Sequential(nn.Conv2d(3, 6, 1), nn.PReLU(6), nn.Conv2d(6, 2, 1))
    slopes[1].weight.data.uniform_(0.1, 0.9)
    zero_columns(slopes[2], 0, 4)
    zero_rows(slopes[0], 2, bias=-0.7)
    normed = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (6, 1)), nn.LayerNorm((6, 1)),
                           nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))  # fmt: skip
    zero_rows(normed[0], 0, 1)
    zero_columns(normed[4], 2)
    zero_rows(normed[4], 3, bias=0.4)
    fixed = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    zero_rows(fixed[2], 0, 1)
    masked = Lambda(
        lambda s, x: s.b(torch.relu(F.linear(x, s.a.weight * s.mask))),
        a=nn.Linear(4, 6), b=nn.Linear(6, 2),
    )  # fmt: skip
    masked.register_buffer("mask", torch.tensor([0.0, 1, 1, 0, 1, 1])[:, None])
    tied = Lambda(
        lambda s, x: F.linear(torch.relu(s.e(x)), s.e.weight.t()), e=nn.Linear(7, 6)
    )  # fmt: skip
    zero_rows(tied.e, 1, 4, bias=0)
    factor = Lambda(
        lambda s, x: s.b(torch.cos(s.scale * s.a(x))), a=nn.Conv2d(2, 4, 1), b=nn.Conv2d(4, 3, 1)
    )
    factor.register_buffer("scale", torch.tensor([0.0, 1, 2, 0])[:, None, None])
    row = nn.Sequential(nn.Linear(10, 1, bias=False))
    zero_columns(row[0], 4)
    padded, drawn = (nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3))
                     for _ in range(2))  # fmt: skip
    for own in (padded, drawn):
        own[1].weight.data.uniform_(0.5, 1.5)
        own[1].bias.data.normal_()
    zero_rows(padded[0], 0, 1, 5, bias=torch.tensor([0.7, -1, 2]))
    zero_columns(padded[2], 0, 1, 4, 5)
    zero_rows(drawn[0], 0, 1, 5, bias=0.7)
    zero_columns(drawn[2], 0)
    return [
        Check("depthwise block", separable, (3, 6, 6), {"expand": 5, "depth": 5, "project": 4}),
        Check("uneven groups", groups, (3, 5, 5), {"a": 6, "g": 6, "b": 2}),
        Check("groups behind groups", chain, (3, 4, 4), {"a": 8, "g": 8, "h": 6, "b": 2}),
        Check("depthwise and another reader", two, (3, 4, 4),
              {"expand": 6, "depth": 6, "project": 2, "other": 2}),
        Check("one layer for two branches", pair(0), (4,), {"a": 6, "b": 6, "t": 3}),
        Check("one of them constant", pair(*range(6)), (4,), {"a": 6, "b": 6, "t": 3}),
        Check("layer applied twice", shared, (5,), {"first": 6, "twice": 6, "last": 2}),
        Check("constant into a shared layer", constant, (5,),
              {"first": 8, "twice": 8, "last": 2}),
        Check("attention block", attention, (5, 8),
              {"attention.in_proj_weight": 24, "attention.out_proj": 8, "up": 6, "down": 8}),
        Check("slopes", slopes, (3, 4, 4), {"0": 3, "2": 2}),
        Check("LayerNorm pins", normed, (4,), {"0": 6, "4": 4, "6": 2}, {"layer_norm"}),
        Check("constant network", fixed, (4,), {"0": 1, "2": 2}),
        Check("mask", masked, (4,), {"mul": 4, "b": 2}),
        Check("decoder transposed", tied, (7,), {"e": 4, "t": 7}),
        Check("factor zero", factor, (2, 4, 4), {"a": 2, "b": 3}),
        Check("unread constants in front of LayerNorm", padded, (4,), {"0": 5, "2": 3}),
        Check("constants read behind LayerNorm", drawn, (4,), {"0": 6, "2": 3}),
        Check("index that costs more", row, (10,), {"0": 1}, gather=0.0),
    ]  # fmt: skip
