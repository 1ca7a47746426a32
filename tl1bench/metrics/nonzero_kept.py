"""Share of the dense network's weights that are not zero: what unstructured storage needs."""

from __future__ import annotations

import pandas as pd

LABEL = "non-zero weights"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · nonzero_weights / weights_dense."""
    return 100.0 * table["nonzero_weights"] / table["weights_dense"]
