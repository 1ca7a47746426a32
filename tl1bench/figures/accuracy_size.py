"""Test error against the share of weights that the compact network keeps."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tl1bench.figures import _counts
from tl1bench.results.evidence import Evidence


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one panel a problem; filled marks have fewest weights within the tolerance.

    Reads `problem`, `method`, `step`, `lam`, `seed`, `val_error_pct`, `test_error_pct`,
    `weights_dense` and `weights_compact`.
    """
    return _counts.draw(table, evidence, "weights_kept", "weights")


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown."""
    what = "the weights left after exact compaction"
    return _counts.caption(table, evidence, what, "weights")
