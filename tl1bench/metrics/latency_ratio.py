"""Measured latency of the compact network over that of the dense one, batch 1, one thread."""

from __future__ import annotations

import pandas as pd

LABEL = "latency, compact / dense"
UNIT = "ratio of p50"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return `latency_ratio_p50`, paired within processes; NaN where not measured."""
    return table["latency_ratio_p50"].astype("float64")
