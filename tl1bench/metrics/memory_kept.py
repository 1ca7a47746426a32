"""What the compact network adds to a process with onnxruntime in it, over what the dense adds."""

from __future__ import annotations

import pandas as pd

LABEL = "memory kept"
UNIT = "% of what dense adds at its peak"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · added_peak_compact_mib / added_peak_dense_mib.

    NaN where not measured, or where the dense network adds nothing.
    """
    dense = table["added_peak_dense_mib"].astype("float64")
    return 100.0 * table["added_peak_compact_mib"].astype("float64") / dense.where(dense > 0)
