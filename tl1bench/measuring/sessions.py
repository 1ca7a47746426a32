"""Does a result repeat, and does nothing come out as nothing? Whole measurements, many times."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tl1bench.errors import MeasurementError
from tl1bench.measuring.measurement import Measurement
from tl1bench.measuring.protocol import measure

COLUMNS = ("session", "ratio_p50", "ratio_low", "ratio_high", "covers_one", "trusted", "reason")


def repeatability(
    pair: Sequence[str | Path],
    sessions: int = 10,
    *,
    measurer: Callable[..., Measurement] = measure,
    **options: Any,
) -> pd.DataFrame:
    """Measure the same two files in `sessions` independent sessions: one row each.

    Columns: the paired ratio of the second file to the first with its interval, whether that covers
    1, and whether the machine could be trusted. `options` go to `measure` (one batch, one thread
    count); session s uses the seed `seed` + s. No memory is measured. Look at `spread_pct`.
    """
    if len(pair) != 2 or sessions < 1:
        raise MeasurementError("Repeatability needs two files and at least one session.")
    options = {"labels": ("a", "b"), "memory_of": (), **options}
    seed = options.pop("seed", 0)
    rows = []
    for session in range(sessions):
        result = measurer(list(pair), seed=seed + session, **options)
        other = result.table[result.table["model"] == options["labels"][1]]
        if len(other) != 1:
            raise MeasurementError("Sessions are compared at one batch and one thread count.")
        ratio, low, high = other[["ratio_p50", "ratio_low", "ratio_high"]].iloc[0]
        verdict = (result.machine["trusted"], result.machine["reason"])
        rows.append((session, ratio, low, high, bool(low <= 1 <= high), *verdict))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def negative_control(
    path: str | Path,
    sessions: int = 10,
    *,
    measurer: Callable[..., Measurement] = measure,
    **options: Any,
) -> pd.DataFrame:
    """Measure a file against a copy of itself: ratios must be 1 within their intervals.

    The table is that of `repeatability`. Look at `covered_pct`.
    """
    if not Path(path).is_file():
        raise MeasurementError(f"{path} does not exist: write it with `tl1bench export`.")
    with TemporaryDirectory(prefix="tl1bench-") as scratch:
        copies = [Path(scratch) / f"{name}.onnx" for name in "ab"]
        for copy in copies:
            shutil.copyfile(path, copy)
        return repeatability(copies, sessions, measurer=measurer, **options)


def spread_pct(table: pd.DataFrame) -> float:
    """Range of the sessions' ratios in per cent of their median."""
    ratios = table["ratio_p50"]
    return float(100 * (ratios.max() - ratios.min()) / ratios.median())


def covered_pct(table: pd.DataFrame) -> float:
    """Per cent of the sessions whose interval covers 1."""
    return float(100 * table["covers_one"].mean())
