"""How many times fewer weights the compact network has than the dense one."""

from __future__ import annotations

import pandas as pd

LABEL = "compression"
UNIT = "×"
BETTER = "higher"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return weights_dense / weights_compact."""
    return table["weights_dense"] / table["weights_compact"]
