"""Statistics on top of the numbers: intervals, paired tests, corrections.

Everything is deterministic: resampling takes a seed, and each degenerate case (one sample, equal
samples) has a defined answer that its docstring states, never NaN and never a warning.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A statistic of `n` samples with its confidence interval, in the samples' unit."""

    estimate: float
    low: float
    high: float
    n: int

    def covers(self, value: float) -> bool:
        """Whether `value` lies in the closed interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class PairedDifference:
    """The mean of a − b over pairs, its interval and the paired t-test's two-sided p."""

    difference: Interval
    p_value: float


def vector(values: ArrayLike, least: int = 1) -> Floats:
    """Return `values` as float64 of shape (n,).

    Raises
    ------
    ValueError
        They are no flat list of at least `least` finite numbers.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) < least or not np.isfinite(found).all():
        raise ValueError(f"needs a flat list of at least {least} finite numbers")
    return found


def widened_confidence(confidence: float, n: int) -> float:
    """Return the level at which a bootstrap of `n` samples covers with about `confidence`.

    A plain bootstrap interval of a mean uses normal instead of t quantiles and a variance with
    denominator n: at n = 5 a "95 %" BCa interval covers 83–87 %. With t = t_{(1+c)/2, n−1} the
    level asked for is 1 − 2 Φ(−t √(n/(n−1))).

    Source: Hesterberg, What Teachers Should Know About the Bootstrap, Am. Stat. 69 (2015), §5.3
    ("expanded percentile interval"). At n ≤ 3 the interval becomes the range of the samples, which
    covers less than 95 %; nothing distribution-free can do better there.
    """
    t = stats.t.ppf((1 + confidence) / 2, n - 1)
    return float(1 - 2 * stats.norm.cdf(-t * math.sqrt(n / (n - 1))))


def bca(
    samples: ArrayLike,
    statistic: Callable[..., object] = np.mean,
    confidence: float = 0.95,
    seed: int = 0,
    small_sample: bool = True,
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of `statistic` (scipy's BCa).

    Parameters
    ----------
    samples
        Finite numbers, shape (n,), n ≥ 1.
    statistic
        What is estimated; takes an array and, for whole resamples at once, `axis`.
    confidence
        The level, between 0 and 1.
    seed
        Of the resampling.
    small_sample
        Whether to widen the level by `widened_confidence`; without it the interval is
        `scipy.stats.bootstrap`'s own at `confidence`.

    Returns
    -------
    Interval
        Degenerate: one sample, or samples that are all equal, give low = high = estimate (with one
        sample nothing is known of the spread: look at `n`). Where BCa is undefined because the
        acceleration is 0/0, the percentile interval stands in.
    """
    x = vector(samples)
    estimate = float(np.asarray(statistic(x)))
    if np.ptp(x) == 0:
        return Interval(estimate, estimate, estimate, len(x))
    level = widened_confidence(confidence, len(x)) if small_sample else confidence

    def interval(method: str) -> tuple[float, float]:
        result = stats.bootstrap(
            (x,),
            statistic,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method=method,
            rng=np.random.default_rng(seed),
        )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        low, high = interval("BCa")
        if not (math.isfinite(low) and math.isfinite(high)):
            low, high = interval("percentile")
    return Interval(estimate, low, high, len(x))


def paired_difference(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Mean of a − b where entry i of both belongs to the same seed.

    Parameters
    ----------
    a, b
        Finite numbers, shape (n,) both.
    confidence, seed
        Those of `bca`.

    Returns
    -------
    PairedDifference
        Degenerate: with one pair p = 1; with several equal differences p = 1 if they are zero and
        0 otherwise; the interval collapses as in `bca`.

    Raises
    ------
    ValueError
        `a` and `b` differ in length.
    """
    left, right = vector(a), vector(b)
    if left.shape != right.shape:
        raise ValueError(f"pairs need equal lengths, got {len(left)} and {len(right)}")
    difference = left - right
    if len(difference) == 1:
        p = 1.0
    elif np.ptp(difference) == 0:
        p = 1.0 if difference[0] == 0 else 0.0
    else:
        p = float(stats.ttest_rel(left, right).pvalue)
    return PairedDifference(bca(difference, np.mean, confidence, seed), p)


def holm(pvalues: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values, in the order given.

    p̃₍ᵢ₎ = max_{j≤i} min(1, (m − j + 1) p₍ⱼ₎). Source: Holm, Scand. J. Statist. 6 (1979). An empty
    list gives an empty array.

    Raises
    ------
    ValueError
        A number is no probability.
    """
    p = vector(pvalues, least=0)
    if ((p < 0) | (p > 1)).any():
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(steps) if len(p) else steps
    return adjusted


def minimum_detectable_difference(
    sd: float, n: int, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest true mean difference that a paired t-test of `n` pairs finds with `power`.

    Solves P(T² > F_{1−α; 1, n−1}) = power, where T² is noncentral F with 1 and n − 1 degrees of
    freedom and noncentrality λ = n (δ/sd)².

    Parameters
    ----------
    sd
        Standard deviation of the differences.
    n
        Number of pairs.
    power, alpha
        The chance to find it and the test's level, between 0 and 1.

    Returns
    -------
    float
        In the unit of `sd`. Degenerate: sd = 0 gives 0; n = 1 gives infinity (no difference can be
        shown).

    Raises
    ------
    ValueError
        `sd` is negative, `n` is 0, or not 0 < alpha < power < 1.
    """
    if sd < 0 or n < 1 or not 0 < alpha < power < 1:
        raise ValueError("needs sd ≥ 0, n ≥ 1 and 0 < alpha < power < 1")
    if sd == 0:
        return 0.0
    if n == 1:
        return math.inf
    # Squared, because scipy's noncentral t is NaN at one degree of freedom.
    critical = stats.f.ppf(1 - alpha, 1, n - 1)

    def shortfall(root: float) -> float:
        return float(stats.ncf.sf(critical, 1, n - 1, root**2)) - power

    high = 1.0
    while shortfall(high) < 0:
        high *= 2
    return float(optimize.brentq(shortfall, 0.0, high, xtol=1e-12)) * sd / math.sqrt(n)
