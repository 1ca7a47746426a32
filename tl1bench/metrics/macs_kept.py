"""Share of the dense network's multiply-accumulates that the compact one performs."""

from __future__ import annotations

import pandas as pd

LABEL = "MACs kept"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · macs_compact / macs_dense."""
    return 100.0 * table["macs_compact"] / table["macs_dense"]
