"""Share of the dense network's weights that the compact one still has; biases excluded."""

from __future__ import annotations

import pandas as pd

LABEL = "weights kept"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · weights_compact / weights_dense."""
    return 100.0 * table["weights_compact"] / table["weights_dense"]
