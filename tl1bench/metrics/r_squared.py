"""Share of the variance on the test split that a network explains, where numbers are learned."""

from __future__ import annotations

import pandas as pd

LABEL = "R²"
UNIT = "of the test split"
BETTER = "higher"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return `test_r2`; NaN where classes are learned."""
    return table["test_r2"].astype("float64")
