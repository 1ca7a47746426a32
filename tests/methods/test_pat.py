"""Pruning-aware training by torchao: the threshold on its group lasso, and latent weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tl1bench import methods, neurons
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start


def begun(model: nn.Module, x: torch.Tensor, lr: float) -> tuple[Method, ProximalOptimizer]:
    pytest.importorskip("torchao.prototype.pat")
    method = methods.load("pat", half=0.5)
    anatomy = neurons.Anatomy.of(model, (x,), "outgoing")
    return method, method.begin(Start(model, anatomy, (x,), lr=lr, iterations=1, growth=2.0))


def test_columns_shrink_by_the_threshold_and_latent_weights_go_on() -> None:
    model = nn.Sequential(nn.Linear(4, 9, bias=False))
    columns = torch.tensor([0.1, 0.2, 0.5, 1.0]).expand(9, 4)
    model[0].weight.data = columns.clone()
    method, optimizer = begun(model, torch.ones(2, 4), lr=0.5)
    level = method.advance(1.0)
    # Columns of equal entries c have the norm 3c and the threshold 3τ: half of them are below τ.
    assert level == pytest.approx(0.2, rel=1e-4)
    for turn, share in enumerate((0.25, 0.5, 0.75)):
        gradient = torch.full_like(columns, 0.01)
        model[0].weight.grad = gradient
        method.during(share)
        optimizer.step()
        velocity = 0.01 * (1 - 0.9 ** (turn + 1))
        columns = columns - 0.5 * velocity
        expected = (columns - level * min(1.0, 2 * share)).clamp_min(0)
        torch.testing.assert_close(model[0].weight, expected)


def test_filters_of_a_convolution_go_whole() -> None:
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 3))
    with torch.no_grad():
        for place, weights in enumerate(model[0].weight, 1):
            weights.fill_(0.05 * place)
        model[2].weight.fill_(0.21)
    method, optimizer = begun(model, torch.ones(2, 2, 6, 6), lr=0.1)
    assert method.advance(1.0) == pytest.approx(0.21, rel=1e-4)
    method.during(1.0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    alive = (model[0].weight != 0).flatten(1)
    assert torch.equal(alive, (torch.arange(8) >= 4)[:, None].expand(8, 18))


@pytest.mark.parametrize("half", [0.0, 1.0])
def test_a_share_out_of_range_is_told(half: float) -> None:
    pytest.importorskip("torchao.prototype.pat")
    with pytest.raises(ConfigError, match="give a share between 0 and 1"):
        methods.load("pat", half=half)
