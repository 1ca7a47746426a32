"""Compaction is quick beside tracing, and its time grows with the graph, not with its square."""

import time

import pytest
import torch
from torch import nn

from tl1bench.compaction import Compactor


class Chain(nn.Module):
    """Residual blocks one after the other, every other one with a padded convolution in front."""

    def __init__(self, depth):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.inner = nn.ModuleList(nn.Conv2d(8, 6, 3, padding=1) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in range(depth))
        self.outer = nn.ModuleList(nn.Conv2d(6, 8, 1) for _ in range(depth))
        self.head = nn.Linear(8, 2)
        with torch.no_grad():
            for layer in self.inner:
                layer.weight[::3] = 0

    def forward(self, x):
        x = self.stem(x)
        for inner, norm, outer in zip(self.inner, self.norms, self.outer, strict=True):
            x = torch.relu(x + outer(torch.relu(norm(inner(x)))))
        return self.head(x.mean((2, 3)))


def seconds(compactor):
    """The shortest of a few runs, in time of this process: others on the machine do not count."""
    found = []
    for _ in range(3):
        start = time.process_time()
        compactor.compact()
        found.append(time.process_time() - start)
    return min(found)


def test_time_grows_linearly_with_depth():
    short, long = (Compactor(Chain(n), torch.randn(2, 3, 6, 6)) for n in (10, 40))
    # Four times the graph: quadratic growth would take sixteen times as long.
    assert seconds(long) < 8 * seconds(short)


@pytest.mark.slow
def test_resnet50_takes_less_than_two_seconds_beside_its_trace():
    from torchvision import models

    network = models.resnet50(weights=None)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight[: len(layer.weight) // 3] = 0
    assert seconds(Compactor(network, torch.randn(2, 3, 64, 64))) < 2
