"""Zeros that an optimiser holds are skipped: the same training, in less time."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tl1bench import ProximalSGD, neurons, penalties
from tl1bench.kernels import linear, sparse
from tl1bench.training import skipping
from tl1bench.training.shrinker import Shrinker
from tl1bench.training.skipping import all_zeros_skipped, zeros_skipped

X = torch.randn(64, 3, 14, 14, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 5, (64,), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def network() -> nn.Sequential:
    """Return a network with few weights, some units of which nobody reads."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 5), nn.ReLU(), nn.Conv2d(16, 24, 3, padding="same"), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(600, 200), nn.ReLU(), nn.Linear(200, 100), nn.Linear(100, 5),
    )  # fmt: skip
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p *= 4 * (torch.rand(p.shape) < 0.1)
        model[7].weight[:, :50] = 0
    return model


def held(model: nn.Module) -> ProximalSGD:
    optimizer = ProximalSGD(model, penalties.load("none"), lr=0.05)
    optimizer.freeze_zeros()
    return optimizer


def iterate(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor = X) -> float:
    optimizer.zero_grad()
    loss = functional.cross_entropy(model(x), Y[: len(x)])
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return the shapes of the inputs that kernels get."""
    seen: list[tuple[int, ...]] = []
    forward = sparse.Pattern.forward

    def counted(pattern: sparse.Pattern, x: Tensor, *rest: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return forward(pattern, x, *rest)

    def of_linear(x: Tensor, *rest: Tensor, held: bool) -> Tensor | None:
        seen.append(tuple(x.shape))
        return linear.multiplied(x, *rest, held=held)

    monkeypatch.setattr(sparse.Pattern, "forward", counted)
    monkeypatch.setattr(skipping, "multiplied", of_linear)
    return seen


def test_training_is_the_same_up_to_rounding(calls: list[tuple[int, ...]]) -> None:
    model, twin = network(), network()
    first, second = held(model), held(twin)
    with zeros_skipped(model, first):
        losses = [iterate(model, first) for _ in range(5)]
    assert losses == pytest.approx([iterate(twin, second) for _ in range(5)], rel=1e-4)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p == 0, q == 0)
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)
    if calls:  # a compiler is here
        assert set(calls) == {(64, 3, 14, 14), (64, 600), (64, 200)}


def test_units_may_be_cut_meanwhile(calls: list[tuple[int, ...]]) -> None:
    model, twin = network(), network()
    first, second = held(model), held(twin)
    shrinker = Shrinker(model, first, X[:4], neurons.units(model, X[:4]))
    with zeros_skipped(model, first):
        iterate(model, first)
        shrinker.shrink()
        loss = iterate(model, first)
    assert len(model[5].weight) <= 150
    iterate(twin, second)
    assert loss == pytest.approx(iterate(twin, second), rel=1e-4)
    assert not calls or calls.count((64, 600)) == 2


def test_afterwards_and_after_an_error_layers_are_as_they_were() -> None:
    model = network()
    with zeros_skipped(model, held(model)):
        assert "forward" in vars(model[5])
    with pytest.raises(RuntimeError), zeros_skipped(model, held(model)):
        model(X[:, :2])
    assert not any("forward" in vars(m) for m in model.modules())


def test_while_no_zeros_are_held_linear_layers_and_narrow_convolutions_go_another_way(
    calls: list[tuple[int, ...]],
) -> None:
    model, twin = network(), network()
    for m in (model, twin):
        m[2] = nn.Conv2d(16, 24, 3, padding=1)
        m.insert(1, nn.Conv2d(16, 4, 3))
        m.insert(2, nn.Conv2d(4, 16, 3, padding=2))
    twin.load_state_dict(model.state_dict())
    first, second = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (model, twin))
    with zeros_skipped(model, first):
        loss = iterate(model, first)
    assert loss == pytest.approx(iterate(twin, second), rel=1e-5)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)
    assert torch.count_nonzero(model[7].weight) > model[7].weight.numel() / 2  # none was held
    assert not calls or calls == [(64, 16, 10, 10), (64, 4, 8, 8), (64, 600), (64, 200)]


def test_a_network_that_nobody_trains_skips_all_of_its_zeros(calls: list[tuple[int, ...]]) -> None:
    model = network().eval()
    with torch.no_grad():
        wanted = model(X)
        with all_zeros_skipped(model):
            torch.testing.assert_close(model(X), wanted, rtol=1e-4, atol=1e-5)
    assert not calls or calls == [(64, 3, 14, 14), (64, 600), (64, 200)]


def test_dense_layers_are_left_alone_and_looked_at_again_later(
    calls: list[tuple[int, ...]],
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(588, 100))
    with zeros_skipped(model, held(model)), torch.no_grad():
        model(X)
        assert not calls
    plain = torch.optim.SGD(model.parameters(), lr=0.01)
    with zeros_skipped(model, plain), torch.no_grad():
        model(X)
        model[1].weight *= torch.rand(model[1].weight.shape) < 0.1
        wanted = [model(X) for _ in range(40)]
    assert len(calls) in (0, 8)
    torch.testing.assert_close(wanted[0], wanted[-1])


def pooling() -> nn.Sequential:
    """Return a network whose convolutions are pooled."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 20, 3), nn.MaxPool2d(2, 2),
        nn.Flatten(), nn.Linear(80, 5),
    )  # fmt: skip


def test_what_is_pooled_lies_side_by_side_and_trains_as_before() -> None:
    model, twin = pooling(), pooling()
    first, second = (torch.optim.SGD(m.parameters(), lr=0.05) for m in (model, twin))
    seen = []
    model[4].register_forward_hook(lambda _, x, y: seen.append((x[0].stride(0), y.stride(0))))
    with zeros_skipped(model, first):
        losses = [iterate(model, first) for _ in range(5)]
    assert losses == pytest.approx([iterate(twin, second) for _ in range(5)], rel=1e-4)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)
    iterate(model, first)
    assert seen[5] == (20 * 16, 20 * 4)  # as it was
    if seen[0] != seen[5]:  # a compiler is here
        assert set(seen[:5]) == {(1, 1)}


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2, stride=1), nn.MaxPool2d(2, padding=1), nn.MaxPool2d((2, 1)),
        nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(2),
    ],
)  # fmt: skip
def test_other_pools_go_their_own_way(pool: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 4), pool)
    wanted = model(X)
    with zeros_skipped(model, torch.optim.SGD(model.parameters(), lr=0.1)):
        torch.testing.assert_close(model(X), wanted)


def test_a_pool_may_return_where_its_maxima_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, return_indices=True))
    with zeros_skipped(model, torch.optim.SGD(model.parameters(), lr=0.1)):
        y, at = model(X)
    assert (y.shape, at.dtype) == ((64, 4, 6, 6), torch.int64)


def test_a_copy_made_meanwhile_is_an_ordinary_network() -> None:
    model = network()
    with zeros_skipped(model, held(model)):
        copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        wanted = model(X)
    for other in copies:
        with torch.no_grad():
            other[5].weight.zero_()
            assert not torch.equal(other(X), wanted)
            other[5].weight.copy_(model[5].weight)
        torch.testing.assert_close(other(X), wanted, rtol=1e-4, atol=1e-4)


def test_who_wrapped_a_forward_pass_keeps_it() -> None:
    model = network()
    model[5].forward = lambda x: functional.linear(x, model[5].weight)
    mine = model[5].forward
    with zeros_skipped(model, held(model)):
        assert model[5].forward is mine
    assert model[5].forward is mine
