"""Operating points: the runs of one problem, method and step, summarised over their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from tl1bench import metrics
from tl1bench.results.layout import run_name
from tl1bench.results.statistics import bca


@lru_cache(maxsize=4096)
def _interval(values: tuple[float, ...]) -> tuple[float, float]:
    found = bca(values)
    return (found.low, found.high) if found.n > 1 else (math.nan, math.nan)


def operating_points(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Summarise every problem × method × step over its seeds.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, step, lam, seed, selected and what the metrics
        read.
    names
        Metrics.

    Returns
    -------
    DataFrame
        problem, method, step, lam (mean), seeds, selected and for each metric in `names` its
        `_mean`, `_sd` (n − 1), `_low` and `_high` (95 % BCa interval of the mean). Spread and
        interval of a single value are NaN, everything is where nothing was measured.
    """
    values = {name: metrics.measure(name, table) for name in names}
    rows = []
    for (problem, method, step), runs in table.groupby(["problem", "method", "step"], sort=False):
        row: dict[str, object] = {"problem": problem, "method": method, "step": step}
        row["lam"] = runs["lam"].mean()
        row |= {"seeds": runs["seed"].nunique(), "selected": bool(runs["selected"].all())}
        for name in names:
            sample = values[name].loc[runs.index].dropna()
            low, high = _interval(tuple(sample)) if len(sample) else (math.nan, math.nan)
            row[f"{name}_mean"] = sample.mean() if len(sample) else math.nan
            row[f"{name}_sd"] = sample.std() if len(sample) > 1 else math.nan
            row[f"{name}_low"], row[f"{name}_high"] = low, high
        rows.append(row)
    return pd.DataFrame(rows)


def measured_points(runs: pd.DataFrame, timings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return operating points of latency and test error, with the latency's measured interval.

    It stands instead of the seeds'; over several measured seeds it is the hull of their intervals,
    the wider statement. `runs` are of one problem, `timings` what was measured on it at the
    headline, by name of the network.
    """
    points = operating_points(runs, ("latency_ratio", "test_error"))
    low, high = [], []
    for point in points.to_dict("records"):
        of_point = runs[(runs["method"] == point["method"]) & (runs["step"] == point["step"])]
        names = [f"{point['method']}/{run_name(point['step'], seed)}" for seed in of_point["seed"]]
        rows = [timings[name] for name in names if name in timings]
        low.append(min((r["ratio_low"] for r in rows), default=np.nan))
        high.append(max((r["ratio_high"] for r in rows), default=np.nan))
    return points.assign(latency_ratio_low=low, latency_ratio_high=high)
