"""Which operating point stands for a method: the choice on validation, test errors unseen."""

from __future__ import annotations

import math
from typing import Literal

import pandas as pd

from tl1bench.results.layout import DENSE, Run

# What can be wanted small, and the column of runs.csv that says how small it is.
Objective = Literal["weights", "nonzero", "macs", "latency"]
OBJECTIVES: dict[Objective, str] = {
    "weights": "weights_compact",
    "nonzero": "nonzero_weights",
    "macs": "macs_compact",
    "latency": "latency_ratio_p50",
}
# Means of equal decimals differ in the last bit; a bar on percentages must not.
_ROUNDING = 1e-9


def select(table: pd.DataFrame, tolerance_pct: float, by: Objective = "weights") -> pd.Series[bool]:
    """Mark the operating point of each problem × method, from validation alone.

    It is the step of the smallest mean size `by` among those whose `val_error_pct`, averaged over
    seeds, is at most that of dense + `tolerance_pct` (percentage points); when none is, the step of
    lowest mean validation error. Dense itself, being the bar, is always chosen by the latter. Of
    equal ones the earlier step is taken. A step that some seed did not reach is not chosen where
    there is another.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, step, seed, val_error_pct and the column of
        `OBJECTIVES`. Latency is that of the seeds that were measured; where none was, MACs decide.
    tolerance_pct
        Percentage points ≥ 0.
    by
        What is to be small.

    Returns
    -------
    Series
        Whether a row is of a chosen point.
    """
    chosen = pd.Series(False, index=table.index, name="selected", dtype=bool)
    for _, of_problem in table.groupby("problem", sort=False):
        points = _points(of_problem, OBJECTIVES[by])
        of_dense = points[points["method"] == DENSE]["val_error_pct"]
        bar = -math.inf if of_dense.empty else of_dense.min() + tolerance_pct + _ROUNDING
        for method, of_method in points.groupby("method"):
            step = _chosen(of_method, -math.inf if method == DENSE else bar)
            rows = (of_problem["method"] == method) & (of_problem["step"] == step)
            chosen.loc[of_problem.index[rows]] = True
    return chosen


def _points(runs: pd.DataFrame, column: str) -> pd.DataFrame:
    sizes = runs[column].astype("float64") if column in runs else pd.Series(math.nan, runs.index)
    if sizes[runs["method"] != DENSE].isna().all():
        sizes = runs[OBJECTIVES["macs"]].astype("float64")
    means = (
        runs.assign(size=sizes)
        .groupby(["method", "step"])
        .agg(val_error_pct=("val_error_pct", "mean"), size=("size", "mean"), seeds=("seed", "size"))
        .reset_index()
    )
    whole = means["seeds"] == means.groupby("method")["seeds"].transform("max")
    return means[whole]


def _chosen(points: pd.DataFrame, bar: float) -> int:
    within = points[points["val_error_pct"] <= bar].dropna(subset="size")
    if within.empty:
        return int(points["step"].to_numpy()[points["val_error_pct"].round(9).to_numpy().argmin()])
    return int(within["step"].to_numpy()[within["size"].to_numpy().argmin()])


def candidates(table: pd.DataFrame) -> pd.Series[bool]:
    """Mark the points that may turn out the fastest at their error: those worth measuring.

    They are each problem's front of mean validation error and mean MACs over all methods.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, step, seed, val_error_pct and macs_compact.

    Returns
    -------
    Series
        Whether a row is of such a point.
    """
    on_front = pd.Series(False, index=table.index, name="candidate", dtype=bool)
    for problem, of_problem in table.groupby("problem", sort=False):
        points = _points(of_problem, OBJECTIVES["macs"]).sort_values(["size", "val_error_pct"])
        best = points["val_error_pct"].cummin().shift(fill_value=math.inf)
        for point in points[points["val_error_pct"] < best].itertuples():
            on_front |= (
                (table["problem"] == problem)
                & (table["method"] == point.method)
                & (table["step"] == point.step)
            )
    return on_front


def first_selected(table: pd.DataFrame, problem: str, method: str) -> Run | None:
    """Return the selected run of lowest seed.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, step, seed and selected.
    problem, method
        Which runs to choose from.

    Returns
    -------
    Run or None
        None when no run is selected.
    """
    rows = table[(table["problem"] == problem) & (table["method"] == method) & table["selected"]]
    return None if rows.empty else first_seed(rows)


def first_seed(runs: pd.DataFrame) -> Run:
    """Return the run of lowest seed among `runs`, of which there is at least one."""
    row = runs.sort_values("seed").iloc[0]
    return Run(str(row["problem"]), str(row["method"]), int(row["step"]), int(row["seed"]))
