"""Time to train one run, compaction during training included."""

from __future__ import annotations

import pandas as pd

LABEL = "training time"
UNIT = "s"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return `train_seconds`."""
    return table["train_seconds"].astype("float64")
