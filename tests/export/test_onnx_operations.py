"""Weights and multiply-accumulates of the usual networks, against counts made by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tl1bench as tl

# Per convolution: filters · inputs · kernel, times the positions of its output.
LENET_300_100 = [(784 * 300, 1), (300 * 100, 1), (100 * 10, 1)]
LENET_5 = [(20 * 25, 24 * 24), (50 * 20 * 25, 8 * 8), (800 * 500, 1), (500 * 10, 1)]
RESNET_20 = [
    *[(3 * 16 * 9, 32 * 32)],
    *[(16 * 16 * 9, 32 * 32)] * 6,
    *[(16 * 32 * 9, 16 * 16), (16 * 32, 16 * 16)],  # the second one is the projection
    *[(32 * 32 * 9, 16 * 16)] * 5,
    *[(32 * 64 * 9, 8 * 8), (32 * 64, 8 * 8)],
    *[(64 * 64 * 9, 8 * 8)] * 5,
    *[(64 * 10, 1)],
]
VGG_16 = [
    *[(3 * 64 * 9, 32 * 32), (64 * 64 * 9, 32 * 32)],
    *[(64 * 128 * 9, 16 * 16), (128 * 128 * 9, 16 * 16)],
    *[(128 * 256 * 9, 8 * 8), (256 * 256 * 9, 8 * 8), (256 * 256 * 9, 8 * 8)],
    *[(256 * 512 * 9, 4 * 4), (512 * 512 * 9, 4 * 4), (512 * 512 * 9, 4 * 4)],
    *[(512 * 512 * 9, 2 * 2)] * 3,
    *[(512 * 10, 1)],
]
NETWORKS = {
    "LeNet-300-100": ("mlp", {}, (1, 28, 28), LENET_300_100),
    "LeNet-5": ("lenet5", {}, (1, 28, 28), LENET_5),
    "ResNet-20": ("resnet", {"widths": [16, 32, 64], "blocks": 3}, (3, 32, 32), RESNET_20),
    "VGG-16": ("vgg", {}, (3, 32, 32), VGG_16),
}
# The sums of the tables above, as they are quoted: weights without biases, MACs of one image.
QUOTED = {
    "LeNet-300-100": (266_200, 266_200),
    "LeNet-5": (430_500, 2_293_000),
    "ResNet-20": (270_896, 40_813_184),
    "VGG-16": (14_715_584, 313_201_664),
}


@pytest.fixture(scope="module", params=NETWORKS)
def counted(request):
    """A network with zeros scattered over every layer and one dead unit, and its compaction."""
    name, options, shape, hand = NETWORKS[request.param]
    model = tl.models.build(name, shape, 10, seed=0, **options).eval()
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.view(-1)[::11] = 0  # no width is a multiple of 11: no unit dies
        if name in ("mlp", "lenet5"):
            layers[0].weight[1] = 0
            layers[0].bias[1] = 0
    return request.param, hand, model, tl.compact(model, (torch.zeros(2, *shape),)).report


def test_dense_counts_are_those_made_by_hand(counted):
    name, hand, _, report = counted
    assert sorted((r.weights_before, r.macs_before) for r in report.layers) == sorted(
        (weights, weights * positions) for weights, positions in hand
    )
    assert (report.weights_before, report.macs_before) == QUOTED[name]


def test_theoretical_counts_are_those_of_the_weights_that_are_not_zero(counted):
    name, hand, _, report = counted
    left = [weights - -(-weights // 11) for weights, _ in hand]
    macs = [n * positions for n, (_, positions) in zip(left, hand, strict=True)]
    if name in ("LeNet-300-100", "LeNet-5"):
        # Of the dead unit's inputs, those from its first one that is no multiple of 11 were left.
        fan_in = hand[0][0] // {"LeNet-300-100": 300, "LeNet-5": 20}[name]
        gone = sum((fan_in + i) % 11 != 0 for i in range(fan_in))
        left[0], macs[0] = left[0] - gone, macs[0] - gone * hand[0][1]
    assert report.weights_nonzero == sum(left)
    assert report.macs_nonzero == sum(macs)


def test_compact_counts_are_what_is_really_left(counted):
    name, _, _, report = counted
    gone = {
        "LeNet-300-100": (784 + 100, 784 + 100),
        "LeNet-5": (25 + 50 * 25, 25 * 576 + 50 * 25 * 64),
    }.get(name, (0, 0))  # scattered zeros alone remove nothing
    weights, macs = QUOTED[name]
    assert (report.weights_after, report.macs_after) == (weights - gone[0], macs - gone[1])


def test_torchs_own_counter_agrees(counted):
    name, _, model, report = counted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *NETWORKS[name][2]))
    assert counter.get_total_flops() == 2 * report.macs_before
