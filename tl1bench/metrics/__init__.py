"""Metrics, one file each: `LABEL`, `UNIT`, `BETTER` ("lower" or "higher") and `measure(table)`.

`measure` takes rows of runs.csv and returns one float a row, NaN where nothing was measured.
"""

from __future__ import annotations

from types import ModuleType
from typing import cast

import pandas as pd

from tl1bench import plugins


def names() -> tuple[str, ...]:
    """Return the names of the metrics in this folder."""
    return plugins.module_names("metrics")


def load(name: str) -> ModuleType:
    """Return the module of metric `name`.

    Raises
    ------
    ConfigError
        There is no such file.
    """
    return plugins.load_module("metrics", name, "metric")


def measure(name: str, table: pd.DataFrame) -> pd.Series[float]:
    """Return metric `name` of each row of `table`."""
    return cast("pd.Series[float]", load(name).measure(table).astype("float64"))


def axis_label(name: str) -> str:
    """Return what stands beside an axis: the label with its unit."""
    module = load(name)
    return f"{module.LABEL} [{module.UNIT}]"
