"""Torchvision's classifiers: each exact or refused, none wrong (`zoo.py` writes the table)."""

import pytest
import torch
import zoo

from tl1bench.compaction import compact

# The table in the documentation has them all; these take some seconds each.
SLOW = [
    "alexnet", "convnext_tiny", "densenet121", "densenet169", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet1_0",
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
    "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0", "squeezenet1_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11",
    "vit_b_32", "wide_resnet50_2",
]  # fmt: skip
FOLLOWED = ("alexnet", "densenet", "efficientnet", "googlenet", "inception", "mnasnet", "mobilenet",
            "regnet", "resn", "shufflenet", "squeezenet", "vgg", "wide")  # fmt: skip


def test_the_table_covers_every_network_there_is():
    assert len(zoo.names()) >= 80
    assert set(SLOW) <= set(zoo.names())
    assert len(SLOW) >= 25


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_a_torchvision_network_is_exact_and_smaller(name):
    check(zoo.entry(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_torchvision_networks_are_exact_or_refused(name):
    check(zoo.entry(name))


def check(found):
    assert found.verdict == "exact"
    assert all(row.kept < 1 for row in found.rows)
    assert all(row.ideal <= row.kept + 1e-12 for row in found.rows)
    if found.name.startswith(FOLLOWED):
        assert all(row.opaque == () for row in found.rows)


def test_without_zeros_a_torchvision_network_keeps_every_shape():
    network, size = zoo.build("resnet18")
    small = compact(network, torch.randn(2, 3, size, size))
    assert {n: p.shape for n, p in small.model.named_parameters()} == {
        n: p.shape for n, p in network.named_parameters()
    }
