"""Size of the compact ONNX file over that of the dense one, uncompressed."""

from __future__ import annotations

import pandas as pd

LABEL = "ONNX file kept"
UNIT = "%"
BETTER = "lower"


def measure(table: pd.DataFrame) -> pd.Series[float]:
    """Return 100 · onnx_bytes_compact / onnx_bytes_dense; NaN where not exported."""
    return (
        100.0
        * table["onnx_bytes_compact"].astype("float64")
        / table["onnx_bytes_dense"].astype("float64")
    )
