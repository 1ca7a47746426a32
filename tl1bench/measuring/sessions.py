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

_LABELS = ("a", "b")


def repeatability(
    pair: Sequence[str | Path],
    sessions: int = 10,
    *,
    batch: int = 1,
    threads: int = 1,
    mode: str = "quick",
    provider: str = "cpu",
    processes: int = 5,
    seed: int = 0,
    retries: int = 0,
    measurer: Callable[..., Measurement] = measure,
) -> pd.DataFrame:
    """Measure the same two files in independent sessions; no memory is measured.

    A session for which the machine was too busy is measured again: that is decided by the machine's
    load, never by a result. Look at `repeats.spread_pct`.

    Parameters
    ----------
    pair
        Two ONNX files; ratios are those of the second to the first.
    sessions
        How many.
    batch, threads, mode, provider, processes
        Those of `measure`.
    seed
        Session s uses the seed `seed` + s.
    retries
        How often a session is measured again on a busy machine.
    measurer
        `measure`; tests bring their own.

    Returns
    -------
    DataFrame
        One row a session, columns `repeats.COLUMNS`: the paired ratio with its interval, whether
        that covers 1, whether the machine could be trusted, how many attempts it took, how many
        processes and what share of quiet calls it rests on, p50 of the first file, and the machine.

    Raises
    ------
    MeasurementError
        There are not two files, there is no session, or `measure` refuses.
    """
    if len(pair) != 2 or sessions < 1:
        raise MeasurementError("Repeatability needs two files and at least one session.")
    rows = []
    for session in range(seed, seed + sessions):
        attempts, trusted = 0, False
        while not trusted and attempts <= retries:
            found = measurer(
                list(pair),
                batch,
                threads,
                mode,
                seed=session,
                processes=processes,
                labels=_LABELS,
                memory_of=(),
                provider=provider,
            )
            attempts, trusted = attempts + 1, found.machine["trusted"]
        rows.append(_row(found, session, attempts))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(found: Measurement, session: int, attempts: int) -> tuple[Any, ...]:
    first, other = (found.table[found.table["model"] == label] for label in _LABELS)
    if len(other) != 1:
        raise MeasurementError("Sessions are compared at one batch and one thread count.")
    ratio, low, high, quiet = other[[*COLUMNS[1:4], "quiet_pct"]].iloc[0]
    machine = found.machine
    return (
        *(session, ratio, low, high, bool(low <= 1 <= high)),
        *(machine["trusted"], machine["reason"], attempts),
        other["processes"].iloc[0],
        *(quiet, first["p50_us"].iloc[0]),
        *(machine["cpu"], machine["versions"]["onnxruntime"]),
    )


def negative_control(
    path: str | Path,
    sessions: int = 10,
    *,
    batch: int = 1,
    threads: int = 1,
    mode: str = "quick",
    provider: str = "cpu",
    processes: int = 5,
    seed: int = 0,
    retries: int = 0,
    measurer: Callable[..., Measurement] = measure,
) -> pd.DataFrame:
    """Measure a file against a copy of itself: ratios must be 1 within their intervals.

    Look at `repeats.covered_pct`.

    Parameters
    ----------
    path
        An ONNX file.
    sessions, batch, threads, mode, provider, processes, seed, retries, measurer
        Those of `repeatability`.

    Returns
    -------
    DataFrame
        That of `repeatability`.

    Raises
    ------
    MeasurementError
        There is no such file, or `measure` refuses.
    """
    if not Path(path).is_file():
        raise MeasurementError(f"{path} does not exist: write it with `tl1bench export`.")
    with TemporaryDirectory(prefix="tl1bench-") as scratch:
        copies = [Path(scratch) / f"{name}.onnx" for name in _LABELS]
        for copy in copies:
            shutil.copyfile(path, copy)
        return repeatability(
            copies,
            sessions,
            batch=batch,
            threads=threads,
            mode=mode,
            provider=provider,
            processes=processes,
            seed=seed,
            retries=retries,
            measurer=measurer,
        )
