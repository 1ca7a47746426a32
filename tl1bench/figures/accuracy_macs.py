"""Test error against the share of multiply-accumulates that are left."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tl1bench.figures import _counts
from tl1bench.results.evidence import Evidence


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one panel a problem; filled marks have fewest MACs within the tolerance.

    Reads `problem`, `method`, `step`, `lam`, `seed`, `val_error_pct`, `test_error_pct`,
    `macs_dense` and `macs_compact`.
    """
    return _counts.draw(table, evidence, "macs_kept", "macs", published="macs")


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown."""
    what = "the multiply-accumulates of the compact network"
    return _counts.caption(table, evidence, what, "MACs", published="macs")
