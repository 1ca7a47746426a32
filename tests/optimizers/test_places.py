"""Proxes act where the weights lie, in one pass or one after the other, to the same effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from tl1bench import ProximalAdam, ProximalSGD, models, neurons, penalties
from tl1bench.optimizers import _operations
from tl1bench.optimizers._places import FusedPlace, GroupPlace
from tl1bench.penalties.group_lasso import GroupLasso
from tl1bench.penalties.tl1 import TransformedL1

LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("side", "options", "together"),
    [
        ("outgoing", {}, True),
        ("incoming", {}, True),
        ("both", {}, False),
        ("as_coded", {}, True),
        ("outgoing", {"order": "element_then_group"}, False),
        ("outgoing", {"mu": 0.0}, False),
        ("outgoing", {"mu": 0.98}, True),
        ("outgoing", {"a": 1e3}, True),
    ],
)
def test_groups_and_weights_in_one_pass_as_one_after_the_other(
    mode: str,
    layout: str,
    side: str,
    options: dict[str, Any],
    together: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    penalty = penalties.load("integrated_tl1", lam=3e-3, **options)

    def trained() -> tuple[ProximalSGD, dict[str, torch.Tensor]]:
        model = models.build("resnet", (1, 8, 8), 10, seed=0)
        model = model.to(memory_format=LAYOUTS[layout])
        weights = [1.0 + 0.1 * i for i in range(len(neurons.weight_layers(model)))]
        optimizer = ProximalSGD(
            model, penalty, lr=0.1, example_inputs=x, groups=side, layer_weights=weights
        )
        for scale in (0.5, 0.0, 1.0):
            optimizer.lam_scale = scale
            optimizer.zero_grad()
            model(x).logsumexp(1).sum().backward()
            optimizer.step()
        return optimizer, dict(model.named_parameters())

    optimizer, found = trained()
    assert together == any(isinstance(p, FusedPlace) for _, _, p in optimizer._operations)
    value = optimizer.penalty_value()
    monkeypatch.setattr(_operations, "fused", list)
    apart, expected = trained()
    torch.testing.assert_close(value, apart.penalty_value())
    zeros = 0
    for name, w in expected.items():
        torch.testing.assert_close(found[name], w, rtol=1e-4, atol=1e-6)
        assert ((found[name] == 0) != (w == 0)).sum() <= 1e-3 * w.numel()
        zeros += int((w == 0).sum())
    assert zeros > 0


def test_a_weight_without_gradient_rests_in_one_pass_too() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    x = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    penalty = penalties.load("integrated_tl1", lam=1e-2)
    optimizer = ProximalSGD(model, penalty, lr=0.1, example_inputs=x)
    model(x).sum().backward()
    model[2].weight.grad = None
    before = [model[i].weight.detach().clone() for i in (0, 2)]
    optimizer.step()
    assert not torch.equal(model[0].weight, before[0])
    assert torch.equal(model[2].weight, before[1])


@dataclass(frozen=True, kw_only=True)
class Halving(GroupLasso):
    """Every group is halved, whatever the step."""

    def factor(self, r: torch.Tensor, step: float, scale: Any) -> torch.Tensor:  # noqa: ARG002
        """Return ½."""
        return torch.full_like(r, 0.5)


def test_what_derives_from_group_lasso_keeps_its_own_prox() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    x = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    optimizer = ProximalSGD(model, Halving(lam=1e-2), lr=0.1, example_inputs=x)
    before = model[2].weight.detach().clone()
    model[2].weight.grad = torch.zeros_like(before)
    optimizer.step()
    assert torch.equal(model[2].weight, before / 2)


@dataclass(frozen=True, kw_only=True)
class Keeping(TransformedL1):
    """Every weight stays."""

    def shrink(self, m: torch.Tensor, step: Any) -> torch.Tensor:  # noqa: ARG002
        """Return `m`."""
        return m

    def prox(self, z: torch.Tensor, step: Any, scale: Any = None) -> torch.Tensor:  # noqa: ARG002
        """Return `z`."""
        return z.clone()


@pytest.mark.parametrize("kind", [ProximalSGD, ProximalAdam])
def test_what_derives_from_transformed_l1_keeps_its_own_prox(kind: Any) -> None:
    weight = nn.Parameter(torch.full((3, 4), 1e-6))
    optimizer = kind([weight], Keeping(lam=1.0), lr=0.1)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert torch.equal(weight, torch.full((3, 4), 1e-6))


def test_another_formula_loses_kernels_and_fusion_and_the_same_one_keeps_them() -> None:
    assert Halving.fuses == Keeping.fuses == ""
    assert GroupLasso.fuses == TransformedL1.fuses != ""
    assert Keeping(lam=1.0).packed(0.1, 1.0) is None

    @dataclass(frozen=True, kw_only=True)
    class Renamed(TransformedL1):
        """The same."""

    assert Renamed.fuses == TransformedL1.fuses
    assert Renamed(lam=1.0).packed(0.1, 1.0) is not None


def test_weights_may_move_to_other_memory_between_steps() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def trained(move: bool) -> list[torch.Tensor]:
        model = models.build("mlp", (1, 8, 8), 10, seed=0)
        penalty = penalties.load("integrated_tl1", lam=3e-3)
        optimizer = ProximalSGD(model, penalty, lr=0.1, example_inputs=x)
        for _ in range(4):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
            for p in model.parameters() if move else ():
                p.data = p.data.clone()
        return [p.detach() for p in model.parameters()]

    for found, expected in zip(trained(move=True), trained(move=False), strict=True):
        assert torch.equal(found, expected)


def test_memory_that_stays_is_looked_at_once() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = models.build("mlp", (1, 8, 8), 10, seed=0)
    optimizer = ProximalSGD(model, penalties.load("group_lasso"), lr=0.1, example_inputs=x)
    place = optimizer._operations[0][2]
    assert isinstance(place, GroupPlace)
    with torch.no_grad():
        first = place.kept_rows(optimizer._penalised)
        assert first is place.kept_rows(optimizer._penalised)
        weight = optimizer._penalised[place.names[0]]
        weight.data = weight.data.clone()
        assert first is not place.kept_rows(optimizer._penalised)
