"""Network slimming: scales of BatchNorm become zero, and their channels leave."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from walking import digits, killed_at, walk

from tl1bench import methods, models, neurons
from tl1bench.errors import ConfigError
from tl1bench.training.method import Start
from tl1bench.training.points import Points


def residual() -> nn.Module:
    return models.build("resnet", (1, 8, 8), 10, 0, widths=[4, 6], blocks=1)


def normalised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()),
        nn.Linear(32, 10),
    )


@pytest.mark.parametrize("hyper", [{"penalty": "l1"}, {"penalty": "tl1", "a": 1.0}], ids=str)
def test_a_path_loses_units_and_goes_on_bit_for_bit_where_it_was_killed(
    hyper: dict, tmp_path: Path
) -> None:
    def walked(**options: object) -> Points:
        return walk(methods.load("slimming", **hyper), normalised(), **path, **options)

    path = {"steps": 3, "growth": 1.6, "branch_below": 1.0}
    points = walked()
    counts = [p.weights for p in points]
    assert len(points) == 3, points.ended
    assert counts == sorted(counts, reverse=True)
    assert 0 < counts[-1] < 0.75 * (64 * 32 + 32 * 10)
    assert all(p.nonzero_weights == p.weights for p in points)
    with pytest.raises(KeyboardInterrupt):
        walked(folder=tmp_path, evaluate=killed_at(3))
    for one, other in zip(points, walked(folder=tmp_path), strict=True):
        for p, q in zip(one.network.parameters(), other.network.parameters(), strict=True):
            assert torch.equal(p, q)


def test_a_channel_leaves_when_nothing_makes_it_any_more() -> None:
    model, method, x = residual(), methods.load("slimming"), digits(0, 8).x
    anatomy = neurons.Anatomy.of(model, x, "outgoing")
    optimizer = method.begin(Start(model, anatomy, (x,), lr=0.1, iterations=10, growth=2.0))
    functional.cross_entropy(model(x), digits(0, 8).y).backward()
    optimizer.step()
    first, block = model[1], model[3]
    with torch.no_grad(), method.training():
        first.bias.fill_(1.0)
        first.weight[[0, 2]] = 0.0
        block.bn2.weight[[1, 2]] = 0.0
    # The block's sum has two makers: 0 lives on by the second, 1 by the first, 2 by none.
    made = torch.stack([c.weight.flatten(1).any(1) for c in (model[0], block.conv2)])
    assert made.tolist() == [[False, True, False, True], [True, False, False, True]]
    assert first.bias.tolist() == [1, 1, 0, 1]
    readers = (block.conv1, model[4].conv1, model[4].shortcut[0])
    assert all(r.weight.sum((0, 2, 3)).ne(0).tolist() == [True, True, False, True] for r in readers)
    for conv, gone in ((model[0], [0, 2]), (block.conv2, [1, 2])):
        momentum = optimizer.state[conv.weight]["momentum_buffer"].flatten(1).any(1)
        assert momentum.logical_not().nonzero().flatten().tolist() == gone


def test_no_gradient_brings_a_channel_back() -> None:
    model, method, x = residual(), methods.load("slimming"), digits(0, 8).x
    anatomy = neurons.Anatomy.of(model, x, "outgoing")
    optimizer = method.begin(Start(model, anatomy, (x,), lr=0.1, iterations=10, growth=2.0))
    block = model[3]
    with torch.no_grad(), method.training():
        block.bn1.weight[1] = block.bn2.weight[3] = 0.0
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), digits(0, 8).y).backward()
        optimizer.step()
    assert block.bn1.weight[1] == block.bn1.bias[1] == block.bn2.weight[3] == 0
    assert not block.conv1.weight[1].any()
    assert not block.conv2.weight[:, 1].any()
    assert not block.conv2.weight[3].any()


def test_other_penalties_and_networks_without_batchnorm_are_refused() -> None:
    with pytest.raises(ConfigError, match="penalty is 'group_lasso'; give l1 or tl1"):
        methods.load("slimming", penalty="group_lasso")
    with pytest.raises(ConfigError, match="this network has none"):
        walk(methods.load("slimming"), steps=1)
