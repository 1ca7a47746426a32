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
from tl1bench.results.repeats import COLUMNS


def repeatability(
    pair: Sequence[str | Path],
    sessions: int = 10,
    *,
    retries: int = 0,
    measurer: Callable[..., Measurement] = measure,
    **options: Any,
) -> pd.DataFrame:
    """Measure the same two files in `sessions` independent sessions: one row each.

    A session for which the machine was too busy is measured again, at most `retries` times: that is
    decided by the machine's load, never by a result. Columns: the paired ratio of the second file
    to the first with its interval, whether that covers 1, whether the machine could be trusted, how
    many attempts it took, how many processes and what share of quiet calls it rests on, p50 of the
    first file, and the machine. `options` go to `measure` (one batch, one thread count); session s
    uses the seed `seed` + s. No memory is measured. Look at `spread_pct`.
    """
    if len(pair) != 2 or sessions < 1:
        raise MeasurementError("Repeatability needs two files and at least one session.")
    options = {"labels": ("a", "b"), "memory_of": (), **options}
    seed = options.pop("seed", 0)
    rows = []
    for session in range(seed, seed + sessions):
        attempts, result = 1, measurer(list(pair), seed=session, **options)
        while attempts <= retries and not result.machine["trusted"]:
            attempts, result = attempts + 1, measurer(list(pair), seed=session, **options)
        first, other = (result.table[result.table["model"] == m] for m in options["labels"])
        if len(other) != 1:
            raise MeasurementError("Sessions are compared at one batch and one thread count.")
        ratio, low, high, quiet = other[[*COLUMNS[1:4], "quiet_pct"]].iloc[0]
        machine = result.machine
        rows.append(
            (
                *(session, ratio, low, high, bool(low <= 1 <= high)),
                *(machine["trusted"], machine["reason"], attempts),
                other["processes"].iloc[0],
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
