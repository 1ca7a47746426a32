"""Small dense networks: another method's widths, and weights of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from walking import QUICK, digits, network, walk

from tl1bench import methods
from tl1bench.errors import ConfigError
from tl1bench.methods.small_dense import SmallDense
from tl1bench.training.epochs import Epochs
from tl1bench.training.method import Method


def thinned() -> Method:
    return methods.load("random", unit="neuron")


def test_the_widths_are_the_others_and_the_weights_are_not() -> None:
    of, anew = walk(thinned(), steps=2), walk(SmallDense(thinned()), steps=2)
    assert [p.architecture for p in anew] == [p.architecture for p in of]
    assert [p.level for p in anew] == [p.level for p in of]
    assert anew.dense_error == of.dense_error
    for one, other in zip(anew, of, strict=True):
        assert one.nonzero_weights == one.weights
        first, second = (next(iter(p.network.parameters())) for p in (one, other))
        assert not torch.equal(first, second)


def test_they_train_as_long_as_the_path_and_its_branch_did() -> None:
    trained: dict[int, int] = {}
    inner = Epochs(digits(0, 1000), batch=50)

    def counted(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        trained[id(optimizer)] = trained.get(id(optimizer), 0) + 1
        kept.append(optimizer)
        inner(model, optimizer)

    kept: list[torch.optim.Optimizer] = []
    walk(SmallDense(thinned()), steps=2, train_epoch=counted)
    start, steps, branch = (QUICK[k] for k in ("dense_epochs", "epochs", "branch_epochs"))
    counts = list(trained.values())
    assert counts == [start, branch, 2 * steps, *(start + k * steps + branch for k in (1, 2))]


def test_fresh_weights_fit_the_new_fan_in() -> None:
    (point,) = walk(
        SmallDense(methods.load("random", unit="neuron", first=0.25)),
        network(hidden=(64, 16)),
        steps=1,
        lr=1e-9,
    )
    matrices = [p for p in point.network.parameters() if p.dim() == 2]
    for matrix in matrices:
        bound = matrix.shape[1] ** -0.5  # of nn.Linear
        assert 0.5 * bound < float(matrix.detach().abs().max()) <= bound


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))
        self.inner = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale


def test_parameters_that_nobody_can_draw_anew_are_told() -> None:
    points = walk(SmallDense(thinned()), Scaled(), steps=1)
    assert "has parameters and no reset_parameters()" in points.ended


def test_a_name_is_no_method() -> None:
    with pytest.raises(ConfigError, match="of is 'random'; give a method"):
        methods.load("small_dense", of="random")
