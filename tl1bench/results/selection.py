"""Which operating point stands for a method: the choice on validation, test errors unseen."""

from __future__ import annotations

import math

import pandas as pd

from tl1bench.results.layout import DENSE, Run

# Means of equal decimals differ in the last bit; a bar on percentages must not.
_ROUNDING = 1e-9


def select(table: pd.DataFrame, tolerance_pct: float) -> pd.Series[bool]:
    """Mark the operating point of each problem × method, from validation alone.

    It is the λ of the smallest mean `weights_compact` among those whose `val_error_pct`, averaged
    over seeds, is at most that of dense + `tolerance_pct` (percentage points); when none is, the λ
    of lowest mean validation error. Dense itself, being the bar, is always chosen by the latter.
    Of equal ones the smaller λ is taken. Columns beside problem, method, lam, val_error_pct and
    weights_compact are not read.
    """
    chosen = pd.Series(False, index=table.index, name="selected", dtype=bool)
    for _, of_problem in table.groupby("problem", sort=False):
        points = (
            of_problem.groupby(["method", "lam"])[["val_error_pct", "weights_compact"]]
            .mean()
            .reset_index()
        )
        of_dense = points[points["method"] == DENSE]["val_error_pct"]
        bar = -math.inf if of_dense.empty else of_dense.min() + tolerance_pct + _ROUNDING
        for method, of_method in points.groupby("method"):
            within = of_method[of_method["val_error_pct"] <= bar]
            if method == DENSE or within.empty:
                best = of_method["val_error_pct"].round(9).idxmin()
            else:
                best = within["weights_compact"].idxmin()
            lam = of_method["lam"][of_method.index == best].item()
            rows = of_problem.index[(of_problem["method"] == method) & (of_problem["lam"] == lam)]
            chosen.loc[rows] = True
    return chosen


def first_selected(table: pd.DataFrame, problem: str, method: str) -> Run | None:
    """Return the selected run of lowest seed.

    Parameters
    ----------
    table
        Rows of runs.csv; read are problem, method, lam, seed and selected.
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
    return Run(str(row["problem"]), str(row["method"]), float(row["lam"]), int(row["seed"]))
