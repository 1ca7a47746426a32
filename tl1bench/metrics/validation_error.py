"""Error on the validation split, the only one that selection reads."""

from __future__ import annotations

import pandas as pd

LABEL = "validation error"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return `val_error_pct`."""
    return table["val_error_pct"].astype("float64")
