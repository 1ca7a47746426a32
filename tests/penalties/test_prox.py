"""The prox is the argmin: every penalty against a brute-force minimum, past its textbook range."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tl1bench import penalties
from tl1bench.penalties import exclusive
from tl1bench.penalties._base import Range

FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)
FEW = settings(FAST, max_examples=20)


def decades(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda e: 10.0**e)


unit = st.floats(0, 1)


def numbers(allowed: Range) -> st.SearchStrategy[float]:
    """Return numbers of a range: all of a short one, decades above the end of a long one."""
    if allowed.high - allowed.low <= 1:
        return st.floats(
            allowed.low, allowed.high, exclude_min=allowed.open_low, exclude_max=allowed.open_high
        )
    low = max(allowed.low, -1e3)
    above = decades(-2, 2).map(lambda more: min(low + more, allowed.high))
    return above if allowed.open_low else st.one_of(above, st.just(low))


def hyper_parameters(name: str) -> dict[str, st.SearchStrategy[Any]]:
    """Return what a penalty declares: numbers of its ranges, words of its choices."""
    kind = penalties.kind(name)
    return {
        **{key: numbers(allowed) for key, allowed in kind.ranges.items()},
        **{key: st.sampled_from(words) for key, words in kind.choices.items()},
    }


def drawn(data: st.DataObject, name: str) -> tuple[penalties.Penalty, float]:
    """Return a penalty whose prox is its argmin, with drawn hyper-parameters, and a drawn step."""
    hyper = {key: data.draw(s, label=key) for key, s in hyper_parameters(name).items()}
    lam = data.draw(st.one_of(decades(-3, 1), st.just(0.0)), label="lam")
    step = data.draw(st.one_of(decades(-3, 2), st.just(0.0)), label="step")
    penalty = penalties.load(name, lam=lam, **hyper)
    assume(penalty.exact)
    return penalty, step


def objective(penalty: penalties.Penalty, x: torch.Tensor, z: torch.Tensor, step: float):
    return 0.5 * (x - z).square().sum(-1) + step * penalty.value(x)


def brute_minimum(penalty: penalties.Penalty, z: torch.Tensor, step: float) -> torch.Tensor:
    """Return the least objective of each group on grids over [0, |z_i|], refined thrice."""
    m = z.abs()
    count, members = m.shape
    unit = torch.linspace(0, 1, 401 if members == 1 else 61, dtype=torch.float64)
    mesh = torch.cartesian_prod(*[unit] * members).view(-1, members)
    low, width = torch.zeros_like(m), m.clone()
    best = torch.full((count,), math.inf, dtype=torch.float64)
    for _ in range(4):
        x = low[:, None] + mesh * width[:, None]
        value = penalty.value(x.reshape(-1, members)).view(count, -1)
        found = 0.5 * (x - m[:, None]).square().sum(-1) + step * value
        least, at = found.min(1)
        best = torch.minimum(best, least)
        width = width * 4 * unit[1]
        low = (x[torch.arange(count), at] - width / 2).clamp_min(0)
    return best


@pytest.mark.parametrize("name", penalties.names())
@FAST
@given(data=st.data())
def test_prox_is_the_argmin(name: str, data: st.DataObject) -> None:
    """Many arguments for each drawn penalty, on scales from far below to far above thresholds."""
    penalty, step = drawn(data, name)
    count, members = (60, 1) if penalty.elementwise else (12, 2)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31), label="seed"))
    sizes = 10 ** (3.5 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 2.5)
    z = sizes * torch.randn(count, members, generator=generator, dtype=torch.float64)
    gap = objective(penalty, penalty.prox(z, step), z, step) - brute_minimum(penalty, z, step)
    assert (gap <= 1e-6).all()


@pytest.mark.parametrize("name", penalties.names())
@FAST
@given(data=st.data())
def test_prox_is_odd_shorter_finite_and_a_monotone_operator(name: str, data: st.DataObject) -> None:
    penalty, step = drawn(data, name)
    seed = data.draw(st.integers(0, 2**31), label="seed")
    generator = torch.Generator().manual_seed(seed)
    size = data.draw(decades(-8, 3), label="size")
    z, other = size * torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    z[0] = 0
    z[1, 1:] = 0
    x, y = penalty.prox(z, step), penalty.prox(other, step)
    assert torch.isfinite(x).all()
    assert torch.equal(penalty.prox(-z, step), -x)
    assert (x.abs() <= z.abs()).all()
    assert (x * z >= 0).all()
    assert (x[0] == 0).all()
    assert (((x - y) * (z - other)).sum(-1) >= -1e-9 * size**2).all()
    if penalty.elementwise:
        inside = z.abs() <= other.abs()
        assert (x.abs() <= y.abs())[inside].all()


@pytest.mark.parametrize("name", penalties.names())
@FAST
@given(data=st.data())
def test_nonzero_results_are_stationary(name: str, data: st.DataObject) -> None:
    """At x ≠ 0 the derivative of the value balances (x − z)/step: value and prox agree."""
    penalty, step = drawn(data, name)
    if step * penalty.lam == 0:
        return
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31), label="seed"))
    z = 3 * torch.randn(4, 3, generator=generator, dtype=torch.float64)
    x = penalty.prox(z, step).requires_grad_()
    value = penalty.value(x).sum()
    # The count of ℓ0 and the zero of no penalty have no derivative to follow.
    slope = torch.autograd.grad(value, x)[0] if value.requires_grad else torch.zeros_like(x)
    kink = torch.zeros_like(x, dtype=torch.bool)
    if name == "capped_l1":
        kink = (x.abs() - penalty.theta).abs() < 1e-9
    kept = (x.abs() > 1e-6) & ~kink
    residual = (x - z + step * slope)[kept]
    # The curvature at a small x turns an error of 1e-9 in x into more in the slope.
    assert (residual.abs() <= 1e-5 * (1 + step * penalty.lam)).all()


@pytest.mark.parametrize("name", penalties.names())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_results_round_the_exact_ones(name: str, dtype: torch.dtype) -> None:
    penalty = penalties.load(name, lam=0.01)
    z = torch.randn(40, 5, generator=torch.Generator().manual_seed(3)).to(dtype)
    z[0] = 0
    x = penalty.prox(z, 0.1)
    exact = penalty.prox(z.double(), 0.1)
    assert x.dtype == dtype
    assert (x.abs() <= z.abs()).all()
    torch.testing.assert_close(x.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)
    assert penalty.value(z).shape == (40,)


@pytest.mark.parametrize("name", penalties.names())
def test_in_place_prox_is_the_prox(name: str) -> None:
    penalty = penalties.load(name, lam=0.1)
    z = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    if isinstance(penalty, penalties.Elementwise):
        expected = penalty.prox(z, 0.5)
        torch.testing.assert_close(penalty.prox_(z, 0.5), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", penalties.names())
def test_scale_replaces_the_member_count(name: str) -> None:
    """Zero members that were removed change nothing when the original s_g is passed."""
    penalty = penalties.load(name, lam=0.05)
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z[:, 4:] = 0
    scale = penalty.scale_for(6)
    x = penalty.prox(z, 0.5)
    torch.testing.assert_close(penalty.prox(z[:, :4], 0.5, scale), x[:, :4])
    torch.testing.assert_close(penalty.prox(z[:, :4], 0.5, torch.full((5,), scale)), x[:, :4])
    torch.testing.assert_close(penalty.value(z[:, :4], scale), penalty.value(z))


@FEW
@given(data=st.data())
def test_exact_integrated_prox_beats_both_compositions(data: st.DataObject) -> None:
    members = data.draw(st.integers(1, 12), label="members")
    hyper = {
        "lam": data.draw(decades(-4, 1)),
        "a": data.draw(decades(-3, 2)),
        "mu": data.draw(unit),
    }
    step = data.draw(decades(-3, 1), label="step")
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31), label="seed"))
    z = torch.randn(20, members, generator=generator, dtype=torch.float64)
    reached = {}
    for order in ("exact", "group_then_element", "element_then_group"):
        penalty = penalties.load("integrated_tl1", order=order, **hyper)
        reached[order] = objective(penalty, penalty.prox(z, step), z, step)
    assert (reached["exact"] <= reached["group_then_element"] + 1e-12).all()
    assert (reached["exact"] <= reached["element_then_group"] + 1e-12).all()


def test_order_of_the_compositions_matters_at_large_steps() -> None:
    z = torch.tensor([[1.0, 0.4]], dtype=torch.float64)
    results = [
        penalties.load("integrated_tl1", lam=1, a=1.0, mu=0.5, order=order).prox(z, 0.3)
        for order in ("group_then_element", "element_then_group")
    ]
    assert not torch.allclose(*results)


@pytest.mark.parametrize("name", [n for n in penalties.names() if penalties.kind(n).diagonal])
@FEW
@given(data=st.data())
def test_prox_in_a_diagonal_metric_is_its_argmin(name: str, data: st.DataObject) -> None:
    penalty, _ = drawn(data, name)
    count, members = (30, 1) if penalty.elementwise else (12, 2)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31), label="seed"))
    z = 2 * torch.randn(count, members, generator=generator, dtype=torch.float64)
    step = 10 ** (3 * torch.rand(count, members, generator=generator, dtype=torch.float64) - 2)
    x = penalty.prox(z, step)

    def weighted(x: torch.Tensor) -> torch.Tensor:
        squares = (0.5 * (x - z[:, None]).square() / step[:, None]).sum(-1)
        return squares + penalty.value(x.reshape(-1, members)).view(count, -1)

    unit = torch.linspace(0, 1, 401, dtype=torch.float64)
    mesh = torch.cartesian_prod(*[unit] * members).view(-1, members)
    best = weighted(mesh * z[:, None]).min(1).values
    assert (weighted(x[:, None])[:, 0] <= best + 1e-6).all()


@pytest.mark.parametrize("order", ["group_then_element", "element_then_group"])
def test_compositions_apply_their_terms_in_order(order: str) -> None:
    penalty = penalties.load("integrated_tl1", lam=0.1, a=0.5, mu=0.4, order=order)
    z = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    group = penalties.load("group_lasso", lam=0.1 * 0.4)
    element = penalties.load("tl1", lam=0.1 * 0.6, a=0.5)
    first, second = (group, element) if order.startswith("group") else (element, group)
    assert torch.equal(penalty.prox(z, 0.7), second.prox(first.prox(z, 0.7), 0.7))


def test_as_coded_exclusive_sparsity_uses_the_unsorted_level() -> None:
    z = torch.tensor([[3.0, -1.0, 0.5]])
    coded = penalties.load("exclusive", as_coded=True).prox(z, 0.1)
    torch.testing.assert_close(coded, torch.tensor([[2.55, -0.55, 0.05]]))
    combined = penalties.load("cges", as_coded=True, mu=1.0).prox(z, 0.1)
    torch.testing.assert_close(combined, coded)


@pytest.mark.parametrize("tau", [0.0, 1e-6, 0.1, 10.0, 1e6])
def test_a_card_finds_the_level_of_exclusive_sparsity_as_the_cpu_does(tau: float) -> None:
    m = torch.rand(40, 33, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    m[3] = 0
    m[4, 1:] = 0
    taus = torch.full((40, 1), tau, dtype=torch.float64)
    level = exclusive._by_sorting(m, taus)
    torch.testing.assert_close(level, exclusive._by_newton(m, taus), rtol=1e-12, atol=0)
    torch.testing.assert_close(level, taus * (m - level).clamp_min(0).sum(1, keepdim=True))
