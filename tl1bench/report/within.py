"""Which methods reach dense's validation error, but for the tolerance: only they can be best."""

from __future__ import annotations

import pandas as pd

from tl1bench.results import DENSE


def within(chosen: pd.DataFrame, runs: pd.DataFrame, tolerance: float) -> frozenset[str]:
    """Return the methods whose chosen point is within `tolerance` of dense on validation.

    Parameters
    ----------
    chosen
        The chosen rows of one problem.
    runs
        All rows of the problem; read are method, step and val_error_pct.
    tolerance
        Percentage points.

    Returns
    -------
    frozenset of str
        Where dense is missing, all.
    """
    dense = runs[runs["method"] == DENSE].groupby("step")["val_error_pct"].mean()
    means = chosen[chosen["method"] != DENSE].groupby("method")["val_error_pct"].mean()
    if dense.empty:
        return frozenset(map(str, means.index))
    return frozenset(map(str, means.index[means <= dense.min() + tolerance + 1e-9]))
