"""Norms of groups are taken in place, in C where a compiler is found and in torch elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from tl1bench import ProximalSGD, models, neurons, penalties
from tl1bench.neurons import TensorSlice
from tl1bench.neurons.groups import make_groups
from tl1bench.neurons.parts import Span, column_squares, group_lasso_
from tl1bench.optimizers import _base
from tl1bench.optimizers._places import BlockThenWeights
from tl1bench.penalties.group_lasso import GroupLasso


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("shape", [(1, 1), (300, 784), (7, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_column_squares_agree_with_float64(
    mode: str, shape: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    found = column_squares(w)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), w.double().square().sum(0), rtol=1e-6, atol=0)


LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("dim", "index", "blocks", "flat"),
    [
        (0, torch.arange(12)[:, None], 1, False),
        (0, torch.tensor([[11, 0], [3, 4]]), 1, False),
        (1, torch.arange(6)[:, None], 1, False),
        (1, torch.arange(6).view(3, 2), 1, False),
        (1, torch.tensor([[5], [1]]), 1, False),
        (1, torch.arange(12)[:, None], 2, False),
        (1, torch.tensor([[9], [2], [0]]), 2, False),
        (1, torch.arange(54)[:, None], 1, True),
    ],
    ids=["rows", "some rows", "columns", "flattened", "some columns", "grouped", "some grouped",
         "as coded"],
)  # fmt: skip
def test_a_span_reduces_and_scales_what_gathering_would(
    mode: str,
    layout: str,
    dtype: torch.dtype,
    dim: int,
    index: torch.Tensor,
    blocks: int,
    flat: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(12, 6, 3, 3, generator=generator, dtype=dtype)
    w = w.contiguous(memory_format=LAYOUTS[layout])
    piece = TensorSlice("w", dim, index, blocks, flat)
    block = make_groups(0, 1, [piece], {"w": w.shape})
    gathered = block.gather({"w": w})
    span = Span.of(piece, w)
    torch.testing.assert_close(span.squares(w), gathered.square().sum(1), rtol=2e-6, atol=0)
    shorter, amount = w.clone(), float(gathered.norm(dim=1).median())
    if group_lasso_(span, shorter, amount):
        wanted = penalties.load("group_lasso", lam=amount, group_scale="one").prox(gathered, 1.0)
        expected = w.clone()
        block.scatter_({"w": expected}, wanted)
        torch.testing.assert_close(shorter, expected, rtol=1e-5, atol=1e-6)
        assert mode == "auto"
    else:
        assert torch.equal(shorter, w)
        assert mode == "never" or dtype == torch.float64 or flat or blocks > 1 or not span.whole
    factor = torch.rand(len(index), generator=generator, dtype=dtype)
    expected = w.clone()
    block.scatter_({"w": expected}, gathered * factor[:, None])
    span.scale_(w, factor)
    torch.testing.assert_close(w, expected, rtol=1e-6, atol=0)


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
    assert together == any(isinstance(p, BlockThenWeights) for _, _, p in optimizer._operations)
    value = optimizer.penalty_value()
    monkeypatch.setattr(_base, "joined", list)
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


def test_a_tensor_without_elements_is_left_to_torch() -> None:
    w = torch.empty(0, 5)
    span = Span.of(TensorSlice("w", 0, torch.empty(0, 1, dtype=torch.long), 1, False), w)
    assert not group_lasso_(span, w, 1.0)
