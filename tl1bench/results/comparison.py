"""What the results table says: means and intervals, differences paired by seed, who wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tl1bench import metrics
from tl1bench.results.layout import DENSE
from tl1bench.results.points import operating_points
from tl1bench.results.selection import OBJECTIVES, Objective
from tl1bench.results.statistics import (
    Floats,
    Interval,
    PairedDifference,
    holm,
    paired_difference,
)

ALPHA = 0.05


@dataclass(frozen=True)
class Effect:
    """A paired difference (or ratio): its interval and its p, Holm-adjusted over methods."""

    interval: Interval
    p_holm: float
    neutral: float

    @property
    def leaning(self) -> int:
        """−1 when the interval lies below neutral, +1 when above, 0 when it covers it."""
        if self.interval.n < 2 or self.interval.covers(self.neutral):
            return 0
        return -1 if self.interval.estimate < self.neutral else 1

    @property
    def sign(self) -> int:
        """The leaning, where the adjusted p confirms it; else 0: no difference was shown."""
        return self.leaning if self.p_holm <= ALPHA else 0


@dataclass(frozen=True)
class Versus:
    """One method against another on a problem, at their selected points, paired by seed.

    `error` is the difference of test errors in points, `size` the ratio of what is wanted small.
    """

    problem: str
    method: str
    baseline: str
    seeds: int
    error: Effect
    size: Effect

    @property
    def outcome(self) -> str:
        """Wins: shown better in error or size, and in the other not even leaning worse.

        Loses likewise; ties when nothing is shown; trades otherwise. To demand less of a doubt
        than of a claim keeps few seeds from turning "worse, but unproven" into a win.
        """
        shown = {self.error.sign, self.size.sign}
        leaning = {self.error.leaning, self.size.leaning}
        if shown == {0}:
            return "ties"
        if leaning >= {-1, 1}:
            return "trades"
        return "wins" if -1 in shown else "loses"


def versus(
    table: pd.DataFrame,
    problem: str,
    method: str,
    baselines: Sequence[str],
    by: Objective = "weights",
) -> tuple[Versus, ...]:
    """Compare `method` with each of `baselines` on `problem`; p adjusted over the baselines.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, seed, selected, test_error_pct and the column of
        `by`.
    problem, method, baselines
        What is compared.
    by
        What is wanted small.

    Returns
    -------
    tuple of Versus
        In the order of `baselines`; those without a seed in common are left out.
    """
    chosen = table[(table["problem"] == problem) & table["selected"]].set_index("seed")
    own = chosen[chosen["method"] == method]
    errors, sizes, kept, counts = [], [], [], []
    for baseline in baselines:
        other = chosen[chosen["method"] == baseline]
        seeds = own.index.intersection(other.index)
        if baseline == method or seeds.empty:
            continue
        mine, theirs = own.loc[seeds], other.loc[seeds]
        errors.append(_paired(mine["test_error_pct"], theirs["test_error_pct"]))
        sizes.append(_paired(_log_size(mine, by), _log_size(theirs, by)))
        kept.append(baseline)
        counts.append(len(seeds))
    error_p = holm([e.p_value for e in errors])
    size_p = holm([s.p_value for s in sizes])
    return tuple(
        Versus(
            problem,
            method,
            baseline,
            counts[i],
            Effect(errors[i].difference, float(error_p[i]), 0.0),
            Effect(_exponential(sizes[i].difference), float(size_p[i]), 1.0),
        )
        for i, baseline in enumerate(kept)
    )


def _paired(mine: ArrayLike, theirs: ArrayLike) -> PairedDifference:
    # Equal decimals differ in the last bit after subtraction; a t-test would make much of it.
    difference = np.round(np.subtract(mine, theirs, dtype=np.float64), 9)
    return paired_difference(difference, np.zeros_like(difference))


def _log_size(runs: pd.DataFrame, by: Objective) -> Floats:
    sizes: Floats = runs[OBJECTIVES[by]].to_numpy(dtype=np.float64)
    # A network pruned to nothing has no logarithm; half a weight keeps it the smallest.
    return np.log(sizes if by == "latency" else np.maximum(sizes, 0.5))


def _exponential(interval: Interval) -> Interval:
    estimate, low, high = (math.exp(v) for v in (interval.estimate, interval.low, interval.high))
    return Interval(estimate, low, high, interval.n)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise problem × method at the selected point, with the difference to dense.

    Returns
    -------
    DataFrame
        problem, method, step, lam, seeds; mean, sd and 95 % BCa interval of every metric; and
        `delta`, `delta_low`, `delta_high` [points of test error], `delta_p_holm`: paired by seed
        with dense, Holm-adjusted over the problem's methods, NaN for dense itself.
    """
    points = operating_points(table[table["selected"]], metrics.names())
    against: dict[tuple[str, str], Effect] = {}
    for problem, rows in points.groupby("problem", sort=False):
        methods = [m for m in rows["method"] if m != DENSE]
        # a − dense = −(dense − a), so that one call adjusts over all methods.
        for v in versus(table, str(problem), DENSE, methods):
            flipped = v.error.interval
            turned = Interval(-flipped.estimate, -flipped.high, -flipped.low, flipped.n)
            against[str(problem), v.baseline] = Effect(turned, v.error.p_holm, 0.0)
    extra = []
    for problem, method in zip(points["problem"], points["method"], strict=True):
        effect = against.get((problem, method))
        several = effect is not None and effect.interval.n > 1
        extra.append(
            {
                "delta": effect.interval.estimate if effect else math.nan,
                "delta_low": effect.interval.low if effect and several else math.nan,
                "delta_high": effect.interval.high if effect and several else math.nan,
                "delta_p_holm": effect.p_holm if effect else math.nan,
            }
        )
    return pd.concat([points, pd.DataFrame(extra, index=points.index)], axis=1)
