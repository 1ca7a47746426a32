"""Test error against the share of weights that are not zero."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tl1bench.figures import _counts
from tl1bench.results.evidence import Evidence


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one panel a problem; filled marks have fewest non-zero weights within the tolerance.

    Reads `problem`, `method`, `step`, `lam`, `seed`, `val_error_pct`, `test_error_pct`,
    `weights_dense` and `nonzero_weights`.
    """
    return _counts.draw(table, evidence, "nonzero_kept", "nonzero", published="weights")


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown, and where points reported elsewhere come from."""
    what = "the weights that are not zero, wherever they are"
    return _counts.caption(table, evidence, what, "non-zero weights", published="weights")
