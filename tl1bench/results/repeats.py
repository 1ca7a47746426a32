"""Repeated measurements as a table: one row a session, and what the sessions say together.

`PAIR` and `CONTROL` are files of one folder: sessions of two different networks, and of two copies
of one.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tl1bench.files import write_text

COLUMNS = (
    *("session", "ratio_p50", "ratio_low", "ratio_high", "covers_one", "trusted", "reason"),
    *("attempts", "processes", "quiet_pct", "dense_us_p50", "cpu", "onnxruntime"),
)
PAIR, CONTROL = "pair.csv", "control.csv"


def spread_pct(table: pd.DataFrame) -> float:
    """Range of the sessions' ratios in per cent of their median."""
    ratios = table["ratio_p50"]
    return float(100 * (ratios.max() - ratios.min()) / ratios.median())


def covered_pct(table: pd.DataFrame) -> float:
    """Per cent of the sessions whose interval covers 1."""
    return float(100 * table["covers_one"].mean())


def read(path: Path) -> pd.DataFrame:
    """Return the sessions in a CSV file that `add` wrote; an empty table when there is none."""
    if not path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, keep_default_na=False)


def add(path: Path, sessions: pd.DataFrame) -> pd.DataFrame:
    """Write `sessions` behind those that `path` already holds, and return all of them."""
    before = read(path)
    every = sessions if before.empty else pd.concat([before, sessions], ignore_index=True)
    write_text(path, every.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    return every
