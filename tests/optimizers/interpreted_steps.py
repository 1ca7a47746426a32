"""Steps on a card, in Triton's interpreter: `test_on_card.py` runs this file with that set."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tl1bench import optimizers, penalties
from tl1bench.kernels import card

X = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 16, 7), nn.ReLU(), nn.Linear(7, 3),
    )  # fmt: skip
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:  # a unit that will die soon, from whatever side it is seen
                p[0] *= 1e-3
                p[:, 0] *= 1e-3
    return model


def trained(
    model: nn.Module, name: str, penalty: penalties.Penalty, steps: int, **options: Any
) -> nn.Module:
    optimizer = optimizers.kind(name)(model, penalty, lr=0.05, example_inputs=X, **options)
    for t in range(steps):
        draw = torch.Generator().manual_seed(t)
        optimizer.zero_grad()
        model(torch.randn(X.shape, generator=draw)).square().mean().backward()
        if t == steps - 2:
            optimizer.freeze_zeros()
        optimizer.step()
    return model


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that will have the name of each pass that is made."""
    made: list[str] = []
    for name in ("first_pass_", "second_pass_"):
        real = getattr(card, name)

        def pass_(*args: Any, _name: str = name, _real: Any = real) -> Any:
            made.append(_name)
            return _real(*args)

        monkeypatch.setattr(card, name, pass_)
    return made


def without_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "_INTERPRETED", False)
    monkeypatch.setenv("TL1BENCH_COMPILE", "never")


@pytest.mark.parametrize(
    ("sides", "momentum", "form"),
    [("outgoing", 0.9, "averaged"), ("incoming", 0.9, "heavy_ball"), ("both", 0.0, "averaged")],
)
@pytest.mark.parametrize(
    "penalty", ["integrated_tl1", "sparse_group_lasso", "group_lasso", "tl1", "l1", "group_mcp"]
)
def test_steps_on_a_card_are_those_of_torch(
    penalty: str, sides: str, momentum: float, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = penalties.load(penalty, lam=0.02)
    options: dict[str, Any] = {"groups": sides, "momentum": momentum, "momentum_form": form}
    options["weight_decay"] = 1e-3
    made = counted(monkeypatch)
    found = trained(network(), "proximal_sgd", chosen, 5, **options)
    assert "first_pass_" in made
    without_passes(monkeypatch)
    expected = trained(network(), "proximal_sgd", chosen, 5, **options)
    for p, q in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
        assert ((p == 0) == (q == 0)).float().mean() > 0.99
    assert any((p == 0).any() for p in found.parameters())


def test_integrated_tl1_goes_over_each_weight_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    chosen = penalties.load("integrated_tl1", lam=0.02)
    optimizer = optimizers.ProximalSGD(model, chosen, lr=0.05, example_inputs=X)
    model(X).square().mean().backward()
    made = counted(monkeypatch)
    optimizer.step()
    weights = len(optimizer._penalised)
    biases = len(list(model.parameters())) - weights
    assert made.count("first_pass_") == weights + biases
    assert made.count("second_pass_") == weights


@pytest.mark.parametrize("name", optimizers.names())
@pytest.mark.parametrize("penalty", ["integrated_tl1", "tl1", "group_lasso"])
def test_every_optimiser_gives_the_same_there(
    name: str, penalty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = penalties.load(penalty, lam=0.01)
    found = trained(network(), name, chosen, 3)
    without_passes(monkeypatch)
    expected = trained(network(), name, chosen, 3)
    for p, q in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


def test_a_card_resumes_bit_for_bit() -> None:
    chosen = penalties.load("integrated_tl1", lam=0.02)
    models = [network(), network()]
    made = [optimizers.ProximalSGD(m, chosen, lr=0.05, example_inputs=X) for m in models]

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, t: int) -> None:
        optimizer.zero_grad()
        x = torch.randn(X.shape, generator=torch.Generator().manual_seed(t))
        model(x).square().mean().backward()
        optimizer.step()

    for t in range(3):
        step(models[0], made[0], t)
    models[1].load_state_dict(copy.deepcopy(models[0].state_dict()))
    made[1].load_state_dict(copy.deepcopy(made[0].state_dict()))
    for t in range(3, 5):
        for model, optimizer in zip(models, made, strict=True):
            step(model, optimizer, t)
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(p, q)


def of_kind(kind: str) -> list[nn.Parameter]:
    w = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    if kind == "channels_last":
        w = w.to(memory_format=torch.channels_last)
    first = nn.Parameter(w.to({"bfloat16": torch.bfloat16, "double": torch.float64}.get(kind)))
    if kind == "sharing memory":
        return [first, nn.Parameter(first.detach().view(6, 36)[:, :4])]
    return [first, nn.Parameter(torch.empty(0, 3))] if kind == "empty" else [first]


def stepped(kind: str) -> list[Tensor]:
    params = of_kind(kind)
    optimizer = optimizers.ProximalSGD(params, penalties.load("tl1", lam=0.1), lr=0.1)
    for t in range(3):
        for p in params:
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(t)).to(p)
        optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("kind", ["channels_last", "sharing memory", "bfloat16", "double", "empty"])
def test_weights_of_every_kind_step_as_by_torch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stepped(kind)
    without_passes(monkeypatch)
    for p, q in zip(found, stepped(kind), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
