"""Measured speed-up of the compact network, batch 1, one thread."""

from __future__ import annotations

import pandas as pd

LABEL = "speed-up"
UNIT = "×"
BETTER = "higher"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 1 / latency_ratio_p50; NaN where not measured."""
    return 1.0 / table["latency_ratio_p50"].astype("float64")
