"""Whole fronts against each other, paired by seed: the area they dominate, size at equal error.

The points of a method that count are those on its own front of size and *validation* error, seed by
seed; what is reported of them is the test error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tl1bench.results.fronts import hypervolume, pareto_front
from tl1bench.results.layout import DENSE
from tl1bench.results.selection import OBJECTIVES, Objective
from tl1bench.results.statistics import Interval, PairedDifference, holm, paired_difference

# Points of test error above dense up to which area counts, and of validation error at which sizes
# are compared.
MARGIN, EQUAL = 1.5, 0.3


@dataclass(frozen=True)
class FrontVersus:
    """A method's front against a baseline's.

    `area` is the difference of hypervolumes [decades of size × points of error], more being better
    for the method; `size` the ratio of sizes at dense's validation error + `EQUAL`, less being
    better. Each p is Holm-adjusted over the baselines.
    """

    problem: str
    method: str
    baseline: str
    by: Objective
    seeds: int
    area: Interval
    area_p: float
    size: Interval
    size_p: float


def versus_fronts(
    table: pd.DataFrame, problem: str, method: str, baselines: Sequence[str], by: Objective
) -> tuple[FrontVersus, ...]:
    """Compare the front of `method` with those of `baselines`.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, seed, val_error_pct, test_error_pct and the
        column of `by`.
    problem, method, baselines
        What is compared.
    by
        What is wanted small.

    Returns
    -------
    tuple of FrontVersus
        In the order of `baselines`; those without two seeds in common are left out.
    """
    own = table[table["problem"] == problem]
    mine = _measured(own, method, by)
    pairs = []
    for baseline in baselines:
        theirs = _measured(own, baseline, by)
        seeds = mine.index.intersection(theirs.index)
        if baseline != method and len(seeds) > 1:
            pairs.append((baseline, mine.loc[seeds], theirs.loc[seeds]))
    areas = [paired_difference(m["area"], t["area"]) for _, m, t in pairs]
    sizes = [_sizes(m, t) for _, m, t in pairs]
    area_p = holm([a.p_value for a in areas])
    known = [i for i, s in enumerate(sizes) if s is not None]
    size_p = dict(zip(known, holm([sizes[i].p_value for i in known]), strict=True))  # type: ignore[union-attr]
    return tuple(
        FrontVersus(
            problem, method, baseline, by, len(m),
            areas[i].difference, float(area_p[i]),
            _ratio(sizes[i]), float(size_p.get(i, math.nan)),
        )
        for i, (baseline, m, _) in enumerate(pairs)
    )  # fmt: skip


def _measured(runs: pd.DataFrame, method: str, by: Objective) -> pd.DataFrame:
    """Return area and log size at equal error of a method, by seed."""
    column, rows = OBJECTIVES[by], {}
    names = [column, "val_error_pct", "test_error_pct"]
    dense = runs[runs["method"] == DENSE].set_index("seed")[names].astype("float64")
    for seed, points in runs[runs["method"] == method].groupby("seed"):
        if seed not in dense.index:
            continue
        found = points[names].astype("float64").dropna()
        found = found[found[column] > 0]
        if found.empty:
            continue
        found = found.iloc[pareto_front(found[[column, "val_error_pct"]])]
        size = np.log10(found[column].to_numpy())
        full, bar, worst = map(float, dense.loc[seed].to_numpy())
        reference = (math.log10(1.0 if by == "latency" else full), worst + MARGIN)
        rows[seed] = {
            "area": hypervolume(np.column_stack([size, found["test_error_pct"]]), reference),
            "size": _at(size, found["val_error_pct"].to_numpy(), bar + EQUAL),
        }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["area", "size"])


def _at(size: np.ndarray, error: np.ndarray, bar: float) -> float:
    """Return the log size at which a front, straight between its points, crosses `bar`.

    Sizes rise and errors fall. NaN where no point is below the bar; the smallest where all are.
    """
    inside = np.flatnonzero(error <= bar)
    if not len(inside):
        return math.nan
    first = int(inside[0])
    if first == 0:
        return float(size[0])
    share = (error[first - 1] - bar) / (error[first - 1] - error[first])
    return float(size[first - 1] + share * (size[first] - size[first - 1]))


def _sizes(mine: pd.DataFrame, theirs: pd.DataFrame) -> PairedDifference | None:
    both = mine["size"].notna() & theirs["size"].notna()
    return paired_difference(mine["size"][both], theirs["size"][both]) if both.sum() > 1 else None


def _ratio(found: PairedDifference | None) -> Interval:
    if found is None:
        return Interval(math.nan, math.nan, math.nan, 0)
    i = found.difference
    return Interval(10**i.estimate, 10**i.low, 10**i.high, i.n)
