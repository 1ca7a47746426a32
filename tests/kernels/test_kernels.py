"""Proxes with a step for each weight: C against float64 torch."""

from __future__ import annotations

import pytest
import torch

from tl1bench import ProximalAdam, models, penalties
from tl1bench.kernels import diagonal
from tl1bench.neurons import TensorSlice
from tl1bench.neurons.groups import make_groups

needs_a_compiler = pytest.mark.usefixtures("compiler")


@pytest.fixture
def compiler() -> None:
    if not diagonal.tl1_(torch.zeros(1), torch.ones(1), 1.0, 1.0):
        pytest.skip("no C compiler here")


def spread(shape: tuple[int, ...], low: float, high: float, seed: int) -> torch.Tensor:
    """Return positive numbers over decades."""
    draw = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return 10 ** (low + (high - low) * draw)


@needs_a_compiler
@pytest.mark.parametrize("a", [1e-3, 0.01, 1.0, 1e3])
def test_tl1_is_the_float64_prox_of_every_weight(a: float) -> None:
    penalty = penalties.load("tl1", a=a, lam=0.5)
    step = spread((60, 70), -9, 1, seed=0)
    step[0] = 0
    z = spread((60, 70), -8, 1, seed=1) * torch.sign(
        torch.randn(60, 70, generator=torch.Generator().manual_seed(2))
    )
    z[1] = 0
    expected = penalty.prox(z.double(), step.double())
    x = z.clone()
    assert diagonal.tl1_(x, step, 0.5, a)
    assert torch.equal(x == 0, expected == 0)
    assert (x.abs() <= z.abs()).all()
    assert torch.equal(x[0], z[0])
    shrinkage = (z - expected).abs()
    one_ulp = torch.finfo(torch.float32).eps * x.abs()
    assert ((x - expected).abs() <= one_ulp + 1e-6 * shrinkage).all()
    assert 0.05 < (expected == 0).double().mean() < 0.95


SPANS = {
    "rows": [("w", 0, 1)],
    "columns": [("w", 1, 1)],
    "columns in twos": [("w", 1, 2)],
    "rows and columns": [("w", 1, 1), ("v", 0, 1)],
}


@needs_a_compiler
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("free", ["none", "some", "one tensor"])
@pytest.mark.parametrize("where", SPANS)
def test_group_lasso_is_the_float64_prox_of_every_group(
    where: str, free: str, layout: torch.memory_format
) -> None:
    tensors = {
        "w": 0.1 * torch.randn(700, 6, 3, 3, generator=torch.Generator().manual_seed(0)),
        "v": 0.1 * torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(1)),
    }
    tensors["w"][:, 2] *= 1e-5
    tensors["w"][5] = 0
    tensors = {n: t.to(memory_format=layout) for n, t in tensors.items()}
    steps = {n: spread(t.shape, -4, 1, seed=2).to(memory_format=layout) for n, t in tensors.items()}
    if free == "some":
        steps["w"][::7] = 0
    if free == "one tensor":
        steps["v"].zero_()
    slices = []
    for name, dim, each in SPANS[where]:
        slices.append(TensorSlice(name, dim, torch.arange(tensors[name].shape[dim]).view(-1, each)))
    block = make_groups(0, 1, slices, {n: t.shape for n, t in tensors.items()})
    for amount in (1e-3, 0.1, 3.0):
        doubles = {n: t.double() for n, t in tensors.items()}
        penalty = penalties.load("group_lasso", lam=amount, group_scale="one")
        wanted = penalty.prox(
            block.gather(doubles), block.gather({n: s.double() for n, s in steps.items()})
        )
        expected = {n: t.clone() for n, t in doubles.items()}
        block.scatter_(expected, wanted)
        found = {n: t.clone() for n, t in tensors.items()}
        spans = [Span.of(piece, found[piece.tensor]) for piece in slices]
        assert diagonal.group_lasso_(spans, found, steps, amount)
        for name, x in found.items():
            assert x.isfinite().all()
            assert torch.equal(x == 0, expected[name].float() == 0)
            torch.testing.assert_close(x.double(), expected[name], rtol=1e-5, atol=1e-12)


def test_free_weights_of_a_group_start_newton_above_zero() -> None:
    z = torch.tensor([[0.3, -0.4, 1e-3, 2e-3]], dtype=torch.float64)
    step = torch.tensor([[0.0, 0.0, 10.0, 20.0]], dtype=torch.float64)
    x = penalties.load("group_lasso", lam=1.0, group_scale="one").prox(z, step)
    assert torch.equal(x[:, :2], z[:, :2])
    r = x.norm()
    torch.testing.assert_close(x, z * r / (r + step))


def test_what_c_cannot_take_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    w = torch.randn(4, 3)
    piece = TensorSlice("w", 1, torch.arange(3)[:, None])
    for x, mode in ((w.double(), "auto"), (w.clone(), "never"), (w.clone()[:, :2], "auto")):
        monkeypatch.setenv("TL1BENCH_COMPILE", mode)
        before, step = x.clone(), torch.ones_like(x)
        assert not diagonal.tl1_(x, step, 1.0, 1.0)
        if x.shape == w.shape:
            assert not diagonal.group_lasso_([Span.of(piece, x)], {"w": x}, {"w": step}, 1.0)
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["l1", "tl1", "group_lasso", "integrated_tl1"])
def test_adam_steps_alike_with_and_without_c(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def trained(mode: str) -> dict[str, torch.Tensor]:
        monkeypatch.setenv("TL1BENCH_COMPILE", mode)
        model = models.build("resnet", (1, 8, 8), 10, seed=0)
        penalty = penalties.load(name, lam=2e-2)
        optimizer = ProximalAdam(model, penalty, lr=3e-3, example_inputs=x)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), torch.arange(8)).backward()
            optimizer.step()
        return dict(model.named_parameters())

    found, expected = trained("auto"), trained("never")
    for key, w in expected.items():
        # A rounding moves the gradients after it: a unit more or less in the last places.
        torch.testing.assert_close(found[key], w, rtol=1e-3, atol=1e-5)
