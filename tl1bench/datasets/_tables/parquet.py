"""Parquet → table."""

from __future__ import annotations

import io

from tl1bench.datasets._tables.frame import Frame, unique


def read(content: bytes) -> Frame:
    """Return the table in `content`; ValueError says what is wrong with it."""
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(io.BytesIO(content)).reset_index(drop=True)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise ValueError(f"no readable Parquet ({' '.join(str(error).split())})") from None
    for name in table.columns:
        if table[name].dtype == object and table[name].map(pd.api.types.is_list_like).any():
            raise ValueError(f"column '{name}' holds lists; give each of their numbers a column")
    table.columns, notes = unique([str(name) for name in table.columns])
    return Frame(table, notes)
