"""Float32 transformed ℓ1: as exact as float32 allows, compiled or not."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tl1bench import penalties
from tl1bench.kernels import tl1 as shrinkage

FAST = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def true_prox(m: float, a: float, tau: float) -> mpmath.mpf:
    """Return the prox at m ≥ 0 by the published formula in 60 digits."""
    with mpmath.workdps(60):
        m, a, tau = mpmath.mpf(m), mpmath.mpf(a), mpmath.mpf(tau)
        convex = tau <= a * a / (2 * (a + 1))
        t = tau * (a + 1) / a if convex else mpmath.sqrt(2 * tau * (a + 1)) - a / 2
        if m <= t:
            return mpmath.mpf(0)
        phi = mpmath.acos(1 - 27 * tau * a * (a + 1) / (2 * (a + m) ** 3))
        return 2 * (a + m) * mpmath.cos(phi / 3) / 3 - 2 * a / 3 + m / 3


def tolerance(x: mpmath.mpf, m: float) -> float:
    """Two float32 units in the last place of the result, plus 1e-5 of the shrinkage."""
    return 2 * float(np.spacing(np.float32(x))) + 1e-5 * float(m - x)


def arguments(a: float, tau: float, seed: int) -> torch.Tensor:
    """Return float32 arguments over all magnitudes and close to the threshold."""
    generator = torch.Generator().manual_seed(seed)
    t = shrinkage.threshold(a, tau)
    near = t * (1 + 10 ** (8 * torch.rand(12, generator=generator, dtype=torch.float64) - 8))
    wide = 10 ** (11 * torch.rand(8, generator=generator, dtype=torch.float64) - 9)
    return torch.cat([near, wide]).float()


@FAST
@given(
    a=st.floats(-3, 3),
    tau=st.floats(-9, 0),
    crossing=st.floats(-0.01, 0.01),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("near_the_double_root", [False, True])
@pytest.mark.parametrize("mode", ["never", "auto"])
def test_float32_shrinkage_is_right(
    mode: str, near_the_double_root: bool, a: float, tau: float, crossing: float, seed: int
) -> None:
    a, tau = 10**a, 10**tau
    if near_the_double_root:
        tau = min(1.0, max(1e-9, a * a / (2 * (a + 1)) * (1 + crossing**3)))
    z = arguments(a, tau, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TL1BENCH_COMPILE", mode)
        x = penalties.load("tl1", a=a).prox(z, tau)
    assert (x <= z).all()
    for m, got in zip(z.tolist(), x.tolist(), strict=True):
        want = true_prox(m, a, tau)
        assert (got == 0) or want > 0
        assert abs(float(want - got)) <= tolerance(want, m)


@FAST
@given(a=st.floats(-3, 3), tau=st.floats(-9, 0), seed=st.integers(0, 99))
def test_float64_is_right_too(a: float, tau: float, seed: int) -> None:
    a, tau = 10**a, 10**tau
    z = arguments(a, tau, seed).double()
    x = penalties.load("tl1", a=a).prox(z, tau)
    each = penalties.load("tl1", a=a).prox(z, torch.full_like(z, tau))
    assert ((each - x).abs() <= 1e-14 * z + 1e-7 * (z - x)).all()
    for m, got in zip(z.tolist(), x.tolist(), strict=True):
        want = true_prox(m, a, tau)
        # At the double root the shrinkage is known to the square root of the precision.
        assert abs(float(want - got)) <= 1e-15 * m + 1e-7 * float(m - want)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed", "strided"])
def test_kernel_and_torch_agree_to_rounding(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(40, 30, 5, 7, generator=generator)
    z.view(-1)[:4] = torch.tensor([0.0, -0.0, 1e-42, -1e30])
    views = {
        "contiguous": lambda: z.clone(),
        "channels_last": lambda: z.clone(memory_format=torch.channels_last),
        "transposed": lambda: z.clone().transpose(0, 1),
        "strided": lambda: z.clone()[:, ::2],
    }
    penalty = penalties.load("tl1")
    results = []
    for mode in ("never", "auto"):
        monkeypatch.setenv("TL1BENCH_COMPILE", mode)
        x = views[layout]()
        assert penalty.prox_(x, 3e-4) is x
        results.append(x)
    twin, kernel = results
    assert torch.equal(twin == 0, kernel == 0)
    assert (twin == 0).any()
    shrinkage_of_weights = (views[layout]() - twin).abs()
    one_ulp = torch.finfo(torch.float32).eps * twin.abs()
    assert ((twin - kernel).abs() <= one_ulp + 1e-6 * shrinkage_of_weights).all()
    torch.testing.assert_close(results[0].double(), penalty.prox(views[layout]().double(), 3e-4))


@pytest.mark.parametrize("mode", ["never", "auto"])
def test_zeros_are_positive_and_not_a_number_stays(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    z = torch.tensor([-1e-9, -0.0, 0.0, float("nan"), 1.0])
    x = penalties.load("tl1").prox(z, 1e-4)
    assert not torch.signbit(x[:3]).any()
    assert x.isnan().tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("mode", ["never", "auto"])
@pytest.mark.parametrize("step", [0.0, 1e-30, 1e12, 1e37, 1e300])
@pytest.mark.parametrize("a", [1e-6, 1.0, 1e6])
def test_extreme_steps_stay_finite(
    mode: str, step: float, a: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL1BENCH_COMPILE", mode)
    z = torch.tensor([0.0, 1e-40, 1e-20, 1.0, 1e20, 3e38])
    x = penalties.load("tl1", a=a).prox(z, step)
    assert torch.isfinite(x).all()
    assert (x <= z).all()
    if step == 0:
        assert torch.equal(x, z)


def test_limits_are_the_count_and_the_absolute_value() -> None:
    w = torch.tensor([[0.0, 0.3, -2.0]], dtype=torch.float64)
    assert penalties.load("tl1", a=1e-6).value(w).item() == pytest.approx(2, rel=1e-5)
    assert penalties.load("tl1", a=1e6).value(w).item() == pytest.approx(2.3, rel=1e-5)
