"""Memory of a process that runs the compact network over that of one with the dense."""

from __future__ import annotations

import pandas as pd

LABEL = "memory kept"
UNIT = "% of the unique set size"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · uss_compact_mib / uss_dense_mib; NaN where not measured."""
    return 100.0 * table["uss_compact_mib"] / table["uss_dense_mib"]
