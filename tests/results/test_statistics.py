from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tl1bench.results.statistics import (
    RESAMPLES,
    bca,
    holm,
    minimum_detectable_difference,
    paired_difference,
    widened_confidence,
)

SKEWED = np.random.default_rng(3).exponential(size=20)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_bca_is_scipys_bootstrap(statistic):
    ours = bca(SKEWED, statistic, confidence=0.9, seed=5, small_sample=False)
    theirs = stats.bootstrap(
        (SKEWED,),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=0.9,
        method="BCa",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert (ours.low, ours.high) == (theirs.low, theirs.high)
    assert ours.estimate == statistic(SKEWED)
    assert ours.n == 20


def test_bca_depends_on_nothing_but_its_arguments():
    assert bca(SKEWED, seed=1) == bca(SKEWED, seed=1)
    assert bca(SKEWED, seed=1) != bca(SKEWED, seed=2)


def test_the_widened_level_is_hesterbergs():
    t = 2.7764451051977987  # t₀.₉₇₅ with four degrees of freedom, from tables
    expected = math.erf(t * math.sqrt(5 / 4) / math.sqrt(2))
    assert widened_confidence(0.95, 5) == pytest.approx(expected, rel=1e-9)
    assert widened_confidence(0.95, 100_000) == pytest.approx(0.95, abs=1e-4)


def test_widened_intervals_of_five_samples_cover_where_plain_ones_fail():
    draws = np.random.default_rng(0).normal(size=(150, 5))

    def coverage(small_sample):
        return np.mean([bca(x, small_sample=small_sample).covers(0.0) for x in draws])

    assert coverage(small_sample=True) > 0.88 > coverage(small_sample=False)


@pytest.mark.parametrize("samples", [[2.5], [2.5, 2.5, 2.5]])
def test_samples_without_spread_collapse_the_interval(samples):
    interval = bca(samples)
    assert (interval.estimate, interval.low, interval.high) == (2.5, 2.5, 2.5)
    assert interval.n == len(samples)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("statistic", [np.mean, np.median, np.max])
def test_few_samples_give_a_finite_interval_around_the_estimate(n, statistic):
    interval = bca([1.0, 2.0, 4.0, 8.0][:n], statistic)
    assert 1.0 <= interval.low <= interval.estimate <= interval.high <= 8.0


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [[1.0], [2.0]]])
def test_bca_refuses_what_is_no_list_of_numbers(samples):
    with pytest.raises(ValueError, match="finite numbers"):
        bca(samples)


def test_paired_difference_removes_what_pairs_share():
    shared = np.array([0.0, 10.0, 20.0, 30.0, 40.0])
    noise = np.array([0.1, -0.1, 0.05, 0.0, -0.05])
    result = paired_difference(shared + 1 + noise, shared)
    difference = 1 + noise
    t = difference.mean() / (difference.std(ddof=1) / math.sqrt(5))
    assert result.p_value == pytest.approx(2 * stats.t.sf(t, 4))
    assert result.difference.estimate == pytest.approx(1.0)
    assert 0.9 <= result.difference.low < 1 < result.difference.high <= 1.1


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [([3.0], [1.0], 1.0), ([1.0, 2.0], [1.0, 2.0], 1.0), ([2.0, 3.0], [1.0, 2.0], 0.0)],
)
def test_paired_difference_is_defined_without_spread(a, b, p):
    result = paired_difference(a, b)
    assert result.p_value == p
    assert result.difference.low == result.difference.high == a[0] - b[0]


def test_paired_difference_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="equal lengths"):
        paired_difference([1.0, 2.0], [1.0])


def test_holm_agrees_with_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_the_step_down_procedure_rejects(pvalues):
    alpha, rejected = 0.05, set()
    for rank, i in enumerate(sorted(range(len(pvalues)), key=pvalues.__getitem__)):
        if pvalues[i] * (len(pvalues) - rank) > alpha:
            break
        rejected.add(i)
    assert set(np.flatnonzero(holm(pvalues) <= alpha)) == rejected


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.5])


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_detectable_difference_is_found_with_the_power_asked_for(n):
    difference = minimum_detectable_difference(sd=2.0, n=n, power=0.8, alpha=0.05)
    shift, critical = difference / 2.0 * math.sqrt(n), stats.t.ppf(0.975, n - 1)

    def found_given(spread):  # the sample's standard deviation over the true one
        tails = stats.norm.sf(critical * spread - shift) + stats.norm.cdf(
            -critical * spread - shift
        )
        return tails * stats.chi.pdf(spread * math.sqrt(n - 1), n - 1) * math.sqrt(n - 1)

    power, _ = integrate.quad(found_given, 0, 10, limit=200)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_the_detectable_difference_of_many_pairs_is_the_normal_one():
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) / 100
    found = minimum_detectable_difference(sd=1.0, n=10_000, power=0.9)
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_detectable_difference_has_defined_ends():
    assert minimum_detectable_difference(sd=0.0, n=5) == 0.0
    assert minimum_detectable_difference(sd=1.0, n=1) == math.inf
    with pytest.raises(ValueError, match="needs sd"):
        minimum_detectable_difference(sd=-1.0, n=5)
