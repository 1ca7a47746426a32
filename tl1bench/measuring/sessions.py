"""Does a result repeat, and does nothing come out as nothing? Whole measurements, many times.

`PAIR` and `CONTROL` are files of a folder: the sessions of two different networks and those of two
copies of one. `add` writes them, `read` reads them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tl1bench.errors import MeasurementError
from tl1bench.files import write_text
from tl1bench.measuring.measurement import Measurement
from tl1bench.measuring.protocol import measure

COLUMNS = (
    *("session", "ratio_p50", "ratio_low", "ratio_high", "covers_one", "trusted", "reason"),
    *("processes", "quiet_pct", "dense_us_p50", "cpu", "onnxruntime"),
)
PAIR, CONTROL = "pair.csv", "control.csv"


def repeatability(
    pair: Sequence[str | Path],
    sessions: int = 10,
    *,
    measurer: Callable[..., Measurement] = measure,
    **options: Any,
) -> pd.DataFrame:
    """Measure the same two files in `sessions` independent sessions: one row each.

    Columns: the paired ratio of the second file to the first with its interval, whether that covers
    1, whether the machine could be trusted, how many processes and what share of quiet calls it
    rests on, p50 of the first file, and the machine. `options` go to `measure` (one batch, one
    thread count); session s uses the seed `seed` + s. No memory is measured. Look at `spread_pct`.
    """
    if len(pair) != 2 or sessions < 1:
        raise MeasurementError("Repeatability needs two files and at least one session.")
    options = {"labels": ("a", "b"), "memory_of": (), **options}
    seed = options.pop("seed", 0)
    rows = []
    for session in range(seed, seed + sessions):
        result = measurer(list(pair), seed=session, **options)
        first, other = (result.table[result.table["model"] == m] for m in options["labels"])
        if len(other) != 1:
            raise MeasurementError("Sessions are compared at one batch and one thread count.")
        ratio, low, high, quiet = other[[*COLUMNS[1:4], "quiet_pct"]].iloc[0]
        machine = result.machine
        rows.append(
            (
                *(session, ratio, low, high, bool(low <= 1 <= high)),
                *(machine["trusted"], machine["reason"], machine["protocol"]["processes"]),
                *(quiet, first["p50_us"].iloc[0]),
                *(machine["cpu"], machine["versions"]["onnxruntime"]),
            )
        )
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
