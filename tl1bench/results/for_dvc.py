"""What DVC shows of the results table: a few numbers, and fronts to plot."""

from __future__ import annotations

import pandas as pd

from tl1bench.results.layout import DENSE, HERO

_SHOWN = {
    DENSE: ("test_error_pct", "test_r2"),
    HERO: ("test_error_pct", "test_r2", "weights_kept_pct", "latency_ratio_p50"),
}


def dvc_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the few numbers `dvc metrics show` prints: means at the selected points.

    Keys are `<problem>.dense.test_error_pct` and, for integrated TL1, its test_error_pct,
    weights_kept_pct and latency_ratio_p50, with test_r2 where numbers are learned; what was not
    measured is left out, as JSON has no NaN.
    """
    found: dict[str, float] = {}
    chosen = table[table["selected"]].assign(
        weights_kept_pct=100.0 * table["weights_compact"] / table["weights_dense"]
    )
    for problem, runs in chosen.groupby("problem", sort=False):
        for method, names in _SHOWN.items():
            means = runs[runs["method"] == method][list(names)].mean().dropna()
            found |= {f"{problem}.{method}.{n}": round(float(v), 6) for n, v in means.items()}
    return found


def fronts_csv(table: pd.DataFrame) -> pd.DataFrame:
    """Return what `dvc plots show` draws: mean sizes and test error of each point of each method.

    Parameters
    ----------
    table
        Rows of runs.csv.

    Returns
    -------
    DataFrame
        problem, method, step, nonzero_weights, macs_compact, test_error_pct; rows from large to
        small.
    """
    sizes = ["nonzero_weights", "macs_compact", "test_error_pct"]
    means = table.groupby(["problem", "method", "step"], sort=False)[sizes].mean()
    return means.reset_index()
