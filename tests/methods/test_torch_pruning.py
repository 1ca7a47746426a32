"""Structural pruning by torch-pruning: what it chooses, and that nothing else is lost."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from walking import network, walk

from tl1bench import methods, models, neurons
from tl1bench.errors import ConfigError
from tl1bench.methods.torch_pruning import TorchPruning
from tl1bench.training.method import Start


def begun(model: nn.Module, x: torch.Tensor, **options: float) -> TorchPruning:
    pytest.importorskip("torch_pruning")
    method = TorchPruning(**options)
    anatomy = neurons.Anatomy.of(model, (x,), "outgoing")
    method.begin(Start(model, anatomy, (x,), lr=0.1, iterations=1, growth=2.0))
    return method


def test_the_units_of_least_norm_go_whole() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        # Norms² of what makes and reads each unit, by hand: 3 + 2, 27 + 2, 12 + 2, 3·¼ + 2·25.
        for weight, row in zip(model[0].weight, (1.0, 3.0, 2.0, 0.5), strict=True):
            weight.fill_(row)
        model[2].weight.fill_(1.0)[:, 3] = 5.0
        model[0].bias.fill_(1.0)
    begun(model, torch.randn(4, 3)).advance(1.0)
    alive = torch.tensor([0.0, 1.0, 0.0, 1.0])
    rows = torch.tensor([[1.0], [3.0], [2.0], [0.5]]).expand(4, 3)
    assert torch.equal(model[0].weight, alive[:, None] * rows)
    assert torch.equal(model[0].bias, alive)
    assert torch.equal(model[2].weight, alive * torch.tensor([1.0, 1, 1, 5]).expand(2, 4))
    assert (model[2].bias != 0).all()


@pytest.mark.parametrize(("name", "shape"), [("lenet5", (1, 28, 28)), ("resnet", (3, 16, 16))])
def test_what_is_zeroed_leaves_as_units(name: str, shape: tuple[int, ...]) -> None:
    model = models.build(name, shape, 10, 0)
    x = torch.randn(2, *shape)
    total = sum(model.get_parameter(n).numel() for n in neurons.weight_layers(model))
    method = begun(model, x)
    model.train()
    for share in (0.5, 0.25):
        assert method.advance(1.0) == share
        left = sum(int((model.get_parameter(n) != 0).sum()) for n in neurons.weight_layers(model))
        assert 0.8 * share * total < left <= share * total
    assert all(module.training for module in model.modules())


def test_networks_are_small_and_dense() -> None:
    pytest.importorskip("torch_pruning")
    points = walk(methods.load("torch_pruning"))
    assert all(p.nonzero_weights == p.weights for p in points)
    total = sum(network().get_parameter(n).numel() for n in neurons.weight_layers(network()))
    assert all(p.weights <= p.level * total for p in points)


@pytest.mark.parametrize("first", [0.0, 1.0, -1.0])
def test_a_share_out_of_range_is_told(first: float) -> None:
    with pytest.raises(ConfigError, match="give a share between 0 and 1"):
        methods.load("torch_pruning", first=first)
