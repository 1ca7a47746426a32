"""Sparse variational dropout: its divergence, its noise and its threshold."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import Tensor, nn

from tl1bench import methods, neurons
from tl1bench.errors import ConfigError
from tl1bench.methods.variational_dropout import VariationalDropout, kl, kl_slope
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Start


def begun(
    model: nn.Module, x: Tensor, **options: float
) -> tuple[VariationalDropout, ProximalOptimizer]:
    method = VariationalDropout(**options)
    anatomy = neurons.Anatomy.of(model, (x,), "outgoing")
    return method, method.begin(Start(model, anatomy, (x,), lr=0.1, iterations=10, growth=2.0))


def exact_kl(log_alpha: float) -> float:
    """E log|ε| − ½ log α with ε ~ N(1, α), by quadrature; 0 for α → ∞."""
    width = math.exp(log_alpha / 2)

    def inner(t: float) -> float:
        return math.log(abs(1 + width * t)) * math.exp(-t * t / 2) / math.sqrt(2 * math.pi)

    edges = sorted({-12.0, 12.0, min(max(-1 / width, -12.0), 12.0)})  # the logarithm's pole
    parts = [integrate.quad(inner, *ends, limit=400)[0] for ends in pairwise(edges)]
    return sum(parts) - log_alpha / 2 + (np.euler_gamma + math.log(2)) / 2


@pytest.mark.parametrize("log_alpha", [-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0])
def test_the_divergence_is_the_true_one(log_alpha: float) -> None:
    assert float(kl(torch.tensor(log_alpha))) == pytest.approx(exact_kl(log_alpha), abs=0.01)


def test_the_slope_is_the_derivative() -> None:
    log_alpha = torch.linspace(-10, 10, 41, dtype=torch.float64, requires_grad=True)
    kl(log_alpha).sum().backward()
    torch.testing.assert_close(kl_slope(log_alpha.detach()), log_alpha.grad)


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_results_have_the_moments_of_noisy_weights(kind: str) -> None:
    torch.manual_seed(0)
    layer: nn.Module = {
        "linear": lambda: nn.Linear(6, 4),
        "conv": lambda: nn.Conv2d(2, 4, 3, padding=1),
        "transposed": lambda: nn.ConvTranspose2d(2, 4, 3),
    }[kind]()
    x = torch.randn(1, 6) if kind == "linear" else torch.randn(1, 2, 4, 4)
    method, _ = begun(layer, x, log_sigma2=-2.0)
    method.advance(1.0)
    plain = layer(x).detach()
    with method.training(), torch.no_grad():
        drawn = torch.stack([layer(x) for _ in range(1500)])
    variance = torch.full_like(layer.weight, math.exp(-2.0))
    with torch.no_grad():
        squared = _like(layer, variance)(x.square())
    torch.testing.assert_close(drawn.mean(0), plain, rtol=0, atol=0.2)
    torch.testing.assert_close(drawn.var(0), squared, rtol=0.25, atol=0.01)
    assert torch.equal(layer(x), plain)


def _like(layer: nn.Module, weight: Tensor) -> nn.Module:
    """Return a layer of the same kind without bias."""
    if isinstance(layer, nn.Linear):
        made: nn.Module = nn.Linear(6, 4, bias=False)
    elif isinstance(layer, nn.Conv2d):
        made = nn.Conv2d(2, 4, 3, padding=1, bias=False)
    else:
        made = nn.ConvTranspose2d(2, 4, 3, bias=False)
    made.weight.data = weight
    return made


def test_a_weight_that_its_noise_drowns_is_zero_until_it_comes_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    _, optimizer = begun(model, torch.ones(2, 3))
    weight = model[0].weight
    state = optimizer.state[weight]
    state["trained"].copy_(torch.tensor([[0.1, 0.1, -2.0], [0.0, 1.0, 3.0]]))
    state["noise"].copy_(torch.tensor([[-1.7, -1.5, 0.0], [-10.0, 2.9, 6.0]]))
    optimizer.settle()
    # log α = log σ² − log θ²: 2.905, 3.105, −1.4; 8.4, 2.9, 3.8.
    assert torch.equal(weight, torch.tensor([[0.1, 0.0, -2.0], [0.0, 1.0, 0.0]]))
    state["noise"].fill_(-1.7)
    optimizer.settle()
    assert torch.equal(weight[0, :2].detach(), torch.tensor([0.1, 0.1]))


def test_weights_that_the_loss_does_not_need_go() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    x = torch.randn(256, 4)
    target = 2 * x[:, :1]
    method, optimizer = begun(model, x, first=1.0, reach=2.0, log_sigma2=-6.0)
    method.advance(1.0)
    with method.training():
        for _ in range(150):
            optimizer.zero_grad()
            (0.5 * (model(x) - target).square().mean()).backward()
            for p in model.parameters():
                assert p.grad is None  # the trained weights lie beside the network
            optimizer.step()
    assert (model[0].weight != 0).tolist() == [[True, False, False, False]]


def test_weights_used_without_noise_are_told() -> None:
    model = nn.Sequential(nn.Linear(4, 1))
    x = torch.randn(8, 4)
    method, optimizer = begun(model, x)
    method.advance(1.0)
    with method.training():
        model.eval()(x).sum().backward()
        with pytest.raises(ConfigError, match=r"'0\.weight' was used without noise"):
            optimizer.step()


@pytest.mark.parametrize("option", ["first", "reach"])
def test_an_option_out_of_range_is_told(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 0; give a number > 0"):
        methods.load("variational_dropout", **{option: 0})
