"""Error on the test split, which is read once, after selection."""

from __future__ import annotations

import pandas as pd

LABEL = "test error"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return `test_error_pct`."""
    return table["test_error_pct"].astype("float64")
