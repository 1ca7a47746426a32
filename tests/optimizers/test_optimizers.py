"""What is particular to each optimiser, against solutions known in closed form."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from tl1bench import optimizers, penalties
from tl1bench.errors import ConfigError
from tl1bench.kernels import momentum as in_one_pass
from tl1bench.optimizers import ProximalSGD


class Scale(nn.Module):
    """A linear layer with an orthonormal design: loss ½‖W − target‖², a closed-form lasso."""

    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target
        self.linear = nn.Linear(target.shape[1], target.shape[0], bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)

    def loss(self) -> torch.Tensor:
        return 0.5 * (self.linear.weight - self.target).square().sum()


def solved(kind, penalty, target, lr, steps, **options) -> torch.Tensor:
    model = Scale(target)
    optimizer = kind(
        model, penalty, lr=lr, example_inputs=torch.randn(2, target.shape[1]), **options
    )
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()
    return model.linear.weight.detach()


@pytest.mark.parametrize("name", optimizers.names())
@pytest.mark.parametrize("penalty", ["l1", "group_lasso", "sparse_group_lasso", "l2"])
def test_convex_problems_are_solved_exactly(name: str, penalty: str) -> None:
    target = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    target[:, 2] *= 0.1
    regulariser = penalties.load(penalty, lam=0.4)
    # Outgoing groups are columns; the solution is the prox of the target with step 1.
    expected = regulariser.prox(target.t(), 1.0).t()
    # Dual averaging forgets its start like 1/(lr·steps).
    lr, steps = {"proximal_adam": (0.05, 500), "rmda": (1.0, 800)}.get(name, (0.3, 200))
    found = solved(optimizers.kind(name), regulariser, target, lr, steps)
    torch.testing.assert_close(found, expected, atol=4e-3, rtol=0)
    if penalty != "l2":
        assert (expected == 0).any()
        assert torch.equal(found == 0, expected == 0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_heavy_ball_is_averaged_momentum_with_the_matching_threshold(
    momentum: float, make_model, example, train
) -> None:
    models = make_model(), make_model()
    penalty = penalties.load("integrated_tl1", lam=0.05)
    averaged = optimizers.ProximalSGD(
        models[0], penalty, lr=0.1, momentum=momentum, example_inputs=example
    )
    heavy = optimizers.ProximalSGD(
        models[1], penalty, lr=0.1 * (1 - momentum), momentum=momentum,
        example_inputs=example, momentum_form="heavy_ball",
    )  # fmt: skip
    train(models[0], averaged, range(15))
    train(models[1], heavy, range(15))
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)
    assert any((p == 0).any() for p in models[0].parameters())


@pytest.mark.parametrize("shape", [(300, 784), (64, 32, 5, 5), (8, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_weights_move_in_one_pass_as_small_ones_do_in_two(
    shape: tuple[int, ...], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(shape) < 4 and layout is torch.channels_last:
        layout = torch.contiguous_format

    def run(large: int) -> Tensor:
        monkeypatch.setattr(in_one_pass, "LARGE", large)
        draw = torch.Generator().manual_seed(0)
        start = torch.randn(shape, generator=draw).to(memory_format=layout)
        p = nn.Parameter(start)
        optimizer = ProximalSGD([p], penalties.load("none"), lr=0.3)
        for _ in range(5):
            p.grad = torch.randn(shape, generator=draw).to(memory_format=layout)
            optimizer.step()
        return p.detach()

    torch.testing.assert_close(run(1), run(1 << 62), rtol=1e-6, atol=1e-6)


def test_without_penalty_heavy_ball_is_torch_sgd(make_model, train) -> None:
    ours, theirs = make_model(), make_model()
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
    train(
        ours,
        optimizers.ProximalSGD(ours, penalties.load("none"), momentum_form="heavy_ball", **options),
        range(10),
    )
    train(theirs, torch.optim.SGD(theirs.parameters(), **options), range(10))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_without_penalty_proximal_adam_is_torch_adam(make_model, train) -> None:
    ours, theirs = make_model(), make_model()
    train(ours, optimizers.ProximalAdam(ours, penalties.load("none"), lr=0.01), range(10))
    train(theirs, torch.optim.Adam(theirs.parameters(), lr=0.01), range(10))
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


def test_proximal_adam_has_a_threshold_of_its_own_for_each_weight() -> None:
    weight = nn.Parameter(torch.full((1, 2), 0.5))
    optimizer = optimizers.ProximalAdam([weight], penalties.load("l1"), lr=1e-3)
    weight.grad = torch.tensor([[1.0, 0.01]])
    optimizer.step()
    # Both move by η; then the thresholds are η/|g|.
    expected = torch.tensor([[0.5 - 1e-3 - 1e-3, 0.5 - 1e-3 - 0.1]])
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("penalty", ["exclusive", "cges", "l1_minus_l2", "group_mcp", "group_tl1"])
def test_proximal_adam_refuses_what_has_no_diagonal_prox(penalty: str, make_model, example) -> None:
    with pytest.raises(ConfigError, match="diagonal metric"):
        optimizers.ProximalAdam(
            make_model(), penalties.load(penalty), lr=0.1, example_inputs=example
        )


def test_rmda_settles_its_zeros_under_noise_where_plain_steps_revive_them() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(4, 50)
    target[:, :5] = 2.0
    changes = {}
    for name, lr in (("proximal_sgd", 0.05), ("rmda", 0.05)):
        model = Scale(target)
        optimizer = optimizers.kind(name)(model, penalties.load("l1", lam=0.3), lr=lr)
        patterns = []
        for _ in range(400):
            model.linear.weight.grad = (model.linear.weight - target).detach()
            model.linear.weight.grad += torch.randn(target.shape, generator=generator)
            optimizer.step()
            patterns.append(model.linear.weight == 0)
        changes[name] = sum(int((a != b).sum()) for a, b in itertools.pairwise(patterns[-100:]))
        if name == "rmda":
            assert torch.equal(patterns[-1], target == 0)
    assert changes["rmda"] == 0
    assert changes["proximal_sgd"] > 100


def test_optimizers_refuse_their_own_impossible_values(make_model) -> None:
    penalty = penalties.load("none")
    with pytest.raises(ConfigError, match="momentum_form"):
        optimizers.ProximalSGD(make_model(), penalty, lr=0.1, momentum_form="nesterov")
    with pytest.raises(ConfigError, match="beta2"):
        optimizers.ProximalAdam(make_model(), penalty, lr=0.1, beta2=1.0)
    with pytest.raises(ConfigError, match="eps"):
        optimizers.ProximalAdam(make_model(), penalty, lr=0.1, eps=0.0)


def test_optimizers_are_found_by_listing_their_folder() -> None:
    assert {"proximal_adam", "proximal_sgd", "rmda"} <= set(optimizers.names())
    with pytest.raises(ConfigError, match="no optimizer 'sgd'"):
        optimizers.kind("sgd")


def test_residual_streams_are_grouped_over_their_layers() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.inner = nn.Linear(6, 6)
            self.last = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            stream = torch.relu(self.first(x))
            return self.last(stream + torch.relu(self.inner(stream)))

    model = Residual()
    with torch.no_grad():
        model.inner.weight[:, 1] = 1e-3
        model.last.weight[:, 1] = 1e-3
        model.inner.weight[:, 2] = 1e-3  # the last layer still reads this one
        model.last.weight[:, 2] = 5.0
    optimizer = optimizers.ProximalSGD(
        model, penalties.load("group_lasso", lam=0.1), lr=0.1, momentum=0.0,
        example_inputs=torch.randn(2, 4),
    )  # fmt: skip
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert (model.inner.weight[:, 1] == 0).all()
    assert (model.last.weight[:, 1] == 0).all()
    assert (model.inner.weight[:, 2] != 0).all()


def test_a_state_of_another_kind_of_optimizer_is_refused_and_does_no_harm() -> None:
    model = nn.Linear(4, 3)
    optimizer = ProximalSGD(model, penalties.load("l1"), lr=0.1)
    before = optimizer.state_dict()
    foreign = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9).state_dict()
    with pytest.raises(ConfigError, match="The state has no lam_scale and so is none of"):
        optimizer.load_state_dict(foreign)
    assert optimizer.state_dict() == before
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", optimizers.names())
def test_what_an_optimizer_remembers_follows_the_dtype_of_its_network(name: str) -> None:
    def after(rounds: int) -> list[Tensor]:
        torch.manual_seed(0)
        model = nn.Linear(4, 3)
        model.weight.data[0] = 0
        optimizer = optimizers.kind(name)(model, penalties.load("none"), lr=0.1)
        optimizer.freeze_zeros()
        for turn in range(4):
            if turn == rounds:
                model.double()
            optimizer.zero_grad()
            model(torch.ones(2, 4).to(model.weight.dtype)).square().sum().backward()
            optimizer.step()
        return [p.detach() for p in model.parameters()]

    for found, expected in zip(after(rounds=2), after(rounds=0), strict=True):
        assert found.dtype is torch.float64
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
