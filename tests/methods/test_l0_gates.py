"""ℓ0 gates: the hard concrete distribution, and what becomes of a unit whose gate closes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tl1bench import methods, neurons
from tl1bench.errors import ConfigError
from tl1bench.methods.l0_gates import L0Gates, hard_concrete, open_chance, settled
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Start


def begun(model: nn.Module, x: Tensor, **options: float) -> tuple[L0Gates, ProximalOptimizer]:
    method = L0Gates(**options)
    anatomy = neurons.Anatomy.of(model, (x,), "incoming")
    return method, method.begin(Start(model, anatomy, (x,), lr=0.1, iterations=10, growth=2.0))


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_chance_to_be_open_is_that_of_the_draws() -> None:
    log_alpha = logits(-4.0, -1.0, 0.0, 1.5, 3.0)
    uniform = torch.rand(60_000, 1, generator=torch.Generator().manual_seed(0)).double()
    drawn = hard_concrete(log_alpha, uniform)
    torch.testing.assert_close(
        (drawn != 0).double().mean(0), open_chance(log_alpha), rtol=0, atol=0.01
    )
    # P(z = 1) is 1 − P(s̄ ≤ 1), by the distribution function of the concrete variable.
    full = 1 - torch.sigmoid((2 / 3) * math.log(1.1 / 0.1) - log_alpha)
    torch.testing.assert_close((drawn == 1).double().mean(0), full, rtol=0, atol=0.01)


def test_the_finished_gate_is_the_median_draw_and_exactly_zero_or_one_far_out() -> None:
    log_alpha = logits(-5.0, -2.45, -2.3, 0.0, 2.3, 2.45, 5.0)
    expected = (torch.sigmoid(log_alpha) * 1.2 - 0.1).clamp(0, 1)
    torch.testing.assert_close(settled(log_alpha), expected)
    assert [float(z) in (0.0, 1.0) for z in settled(log_alpha)] == [
        True, True, False, False, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_penalty_closes_gates_by_the_slope_of_the_expected_share_left(kind: str) -> None:
    if kind == "mlp":
        model: nn.Module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
        x, counts = torch.randn(4, 3), (5, 2)
    else:
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4, 2))
        x, counts = torch.randn(4, 3, 4, 4), (5 * 9, 4 * 2)
    method, optimizer = begun(model, x, first=0.7, log_alpha=1.0)
    method.advance(1.0)
    optimizer.rate = 0.0
    with method.training():
        model(x)  # draws, and no loss is taken
        optimizer._pull()
        got = [gate.grad for gate in optimizer._gates]
    total = 3 * counts[0] + 5 * counts[1]
    for grad, units, members in zip(got, (3, 5), counts, strict=True):
        log_alpha = torch.full((units,), 1.0, requires_grad=True)
        (0.7 * (members / total) * open_chance(log_alpha)).sum().backward()
        torch.testing.assert_close(grad, log_alpha.grad)


def test_layers_see_drawn_gates_in_training_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(5, 6)
    method, _ = begun(model, x, log_alpha=0.0)
    method.advance(1.0)
    plain, generator = model(x), torch.get_rng_state()
    with method.training():
        first, again = model(x), model(x)
        assert torch.equal(model.eval()(x), plain)
    assert not torch.equal(first, plain)
    assert torch.equal(first, again)  # the same till the step
    assert torch.equal(model.train()(x), plain)
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_closed_gate_takes_all_weights_that_leave_its_unit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(64, 6)
    x[:, 2:] = 0.0  # inputs that nobody needs
    method, optimizer = begun(model, x, first=0.3, reach=2.0)
    method.advance(1.0)
    target = 5 * x[:, :1] - 3 * x[:, 1:2]
    with method.training():
        for _ in range(60):
            optimizer.zero_grad()
            (model(x)[:, :1] - target).square().mean().backward()
            optimizer.step()
    alive = (model[0].weight != 0).any(0)
    assert alive.tolist() == [True, True, False, False, False, False]
    state = optimizer.state[model[0].weight]
    assert (state["noise"] == state["noise"][:1]).all()
    torch.testing.assert_close(model[0].weight, state["trained"] * settled(state["noise"]))


@pytest.mark.parametrize("option", ["first", "reach"])
def test_an_option_out_of_range_is_told(option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option} is 0; give a number > 0"):
        methods.load("l0_gates", **{option: 0})
