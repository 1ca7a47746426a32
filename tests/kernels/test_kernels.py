"""Every kernel against its torch twin in float64."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from checkouts import ROOT

from tl1bench import ProximalAdam, models, penalties
from tl1bench.kernels import build, group_lasso, momentum, tl1
from tl1bench.neurons import TensorSlice
from tl1bench.neurons.groups import make_groups
from tl1bench.neurons.parts import SlicePart, rows_of

needs_a_compiler = pytest.mark.usefixtures("compiler")


@pytest.fixture
def compiler() -> None:
    if not tl1.shrink_each_(torch.zeros(1), torch.ones(1), 1.0, 1.0):
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
    assert tl1.shrink_each_(x, step, 0.5, a)
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
        parts = [SlicePart.of(piece, found[piece.tensor]) for piece in slices]
        rows = [rows_of(part, found[part.piece.tensor]) for part in parts]
        along = [rows_of(part, steps[part.piece.tensor]) for part in parts]
        assert group_lasso.shorten_each_(rows, along, block.count, amount)
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


@needs_a_compiler
@pytest.mark.parametrize("shape", [(1,), (7,), (33, 1), (64, 17), (5, 4, 3, 3)])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.1, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("tau", [1e-30, 1e-9, 1e-4, 0.3, 1e3, 1e12])
def test_one_step_is_the_float64_prox_of_every_weight(
    shape: tuple[int, ...], layout: str, a: float, tau: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    threshold = tl1.threshold(a, tau)
    z = threshold * 10 ** (4 * torch.rand(shape, generator=draw, dtype=torch.float64) - 2)
    z = (z * torch.randn(shape, generator=draw, dtype=torch.float64).sign()).float()
    if layout == "channels_last" and z.dim() == 4:
        z = z.contiguous(memory_format=torch.channels_last)
    if layout == "transposed" and z.dim() > 1:
        z = z.transpose(0, 1)
    x = z.clone()
    assert x.stride() == z.stride()
    assert tl1.shrink_(x, a, tau)
    m = z.double().abs()
    expected = tl1.prox(m, a, tau)
    assert torch.equal(x == 0, expected == 0)
    assert (x.abs() <= z.abs()).all()
    assert (x * z >= 0).all()
    ulps = 2 * torch.finfo(torch.float32).eps * m + 1e-5 * (m - expected)
    assert ((x.abs().double() - expected).abs() <= ulps + 1e-45).all()


@needs_a_compiler
@pytest.mark.parametrize("rows", [1, 2, 8, 37])
@pytest.mark.parametrize("groups", [1, 3, 10])
@pytest.mark.parametrize("width", [1, 5, 64, 100])
@pytest.mark.parametrize("amount", [0.0, 1e-3, 1.0, 1e6])
def test_one_step_is_the_float64_prox_of_every_group(
    rows: int, groups: int, width: int, amount: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(rows, groups * width, generator=draw)
    z[:, :width] *= 1e-3
    x, both = z.clone(), z.clone()
    assert group_lasso.shorten_([x], groups, amount)
    norm = z.double().view(rows, groups, width).square().sum((0, 2)).sqrt()
    factor = (1 - amount / norm).clamp_min(0).repeat_interleave(width)
    torch.testing.assert_close(x.double(), z.double() * factor, rtol=2e-5, atol=2e-6)
    then = tl1.packed(0.1, 1e-2)
    assert group_lasso.shorten_([both], groups, amount, [then])
    apart = x.clone()
    assert tl1.shrink_(apart, 0.1, 1e-2)
    torch.testing.assert_close(both, apart, rtol=1e-6, atol=1e-7)
    squares = group_lasso.column_squares(z)
    torch.testing.assert_close(squares.double(), z.double().square().sum(0), rtol=1e-6, atol=0)


@needs_a_compiler
@pytest.mark.parametrize("amount", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("rows", [(1, 1), (1, 9), (16, 8)])
def test_groups_in_several_weights_are_the_float64_prox_of_them_together(
    rows: tuple[int, int], amount: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    parts = [
        torch.randn(n, 5 * width, generator=draw) for n, width in zip(rows, (7, 200), strict=True)
    ]
    together = torch.cat(
        [z.double().view(len(z), 5, -1).transpose(0, 1).flatten(1) for z in parts], 1
    )
    factor = (1 - amount / together.norm(dim=1)).clamp_min(0)
    found = [z.clone() for z in parts]
    then = [None, tl1.packed(0.1, 1e-2)]
    assert group_lasso.shorten_(found, 5, amount, then)
    for z, x, constants in zip(parts, found, then, strict=True):
        expected = z.double() * factor.repeat_interleave(z.shape[1] // 5)
        if constants is not None:
            expected = tl1.prox(expected.abs(), 0.1, 1e-2) * expected.sign()
        torch.testing.assert_close(x.double(), expected, rtol=2e-5, atol=2e-6)


AVERAGED, HEAVY = (0.9, 1 - 0.9), (0.5, 1.0)


@needs_a_compiler
@pytest.mark.parametrize("decay", [0.0, 1e-2])
@pytest.mark.parametrize(("keep", "share"), [AVERAGED, HEAVY])
def test_a_move_in_one_pass_is_that_of_torch(
    keep: float, share: float, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(momentum, "LARGE", 1)
    draw = torch.Generator().manual_seed(0)
    rule = momentum.Momentum(keep, share, decay, lr=0.3)
    p, g, v = (torch.randn(70, 3, generator=draw) for _ in range(3))
    expected = [p.clone(), v.clone()]
    rule.step_(expected[:1], [g], expected[1:])
    moves = momentum.Moves()
    assert moves.add(rule, p, g, v)
    moves.finish_all()
    torch.testing.assert_close([p, v], expected, rtol=1e-5, atol=1e-6)


@needs_a_compiler
@pytest.mark.parametrize("shape", [(3, 20), (1, 20), (1, 1000), (9, 1000)])
def test_weights_that_move_while_others_shrink_do_as_they_would_alone(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(momentum, "LARGE", 1)
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(shape, generator=draw)
    weights = [[torch.randn(n, generator=draw) for _ in range(3)] for n in (50, 1, 3000, 40)]

    def run(meanwhile: bool) -> tuple[list[torch.Tensor], float]:
        x, copies = z.clone(), [[t.clone() for t in each] for each in weights]
        moves = momentum.Moves()
        for p, g, v in copies:
            assert moves.add(momentum.Momentum(0.9, 0.1, 0.0, 0.1), p, g, v)
        moves.finish([copies[1][0]])
        queue = moves.queue if meanwhile else None
        assert group_lasso.shorten_([x], 2, 0.1, [tl1.packed(0.1, 1e-2)], queue)
        first = float((copies[0][0] != weights[0][0]).double().mean())
        moves.finish_all()
        return [x, *(t for each in copies for t in each)], first

    (together, early), (apart, late) = run(True), run(False)
    assert early > late == 0
    for a, b in zip(together, apart, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("mode", ["never", "auto"])
def test_without_a_compiler_nothing_is_done(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    w = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    x = w.clone()
    done = [
        tl1.shrink_(x, 0.1, 1e-2),
        tl1.shrink_each_(x, torch.ones_like(x), 1e-2, 0.1),
        group_lasso.shorten_([x], 2, 1e-2),
        group_lasso.shorten_each_([x], [torch.ones_like(x)], 2, 1e-2),
    ]
    assert len(set(done)) == 1
    assert torch.equal(x, w) == (not done[0])
    assert not (mode == "never" and done[0])


def test_float32_leaves_to_float64_what_its_constants_cannot_hold() -> None:
    for a, tau in ((1.0, 0.0), (1.0, 1e37), (1e-6, 1e37)):
        x = torch.tensor([1.0, -2.0])
        assert tl1.packed(a, tau) is None
        assert not tl1.shrink_(x, a, tau)


def test_the_sources_are_part_of_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["tl1bench"]
    folder = Path(build.__file__).parent
    sources = [f for f in folder.iterdir() if f.suffix in (".c", ".h")]
    assert sources
    for file in sources:
        assert any(fnmatch(f"kernels/{file.name}", pattern) for pattern in patterns), file.name


def test_headers_are_put_in_where_they_are_included() -> None:
    text = build.source("tl1.c")
    assert '#include "' not in text
    assert "tl1_point" in text
    assert "#include <math.h>" in text


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
