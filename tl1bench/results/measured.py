"""What was measured on a problem, by the name of the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl1bench.files import read_json
from tl1bench.results.layout import measurement_file


def read_measurement(reports: Path, problem: str) -> dict[str, Any]:
    """Return the measurement's record in `reports/<profile>`; without rows when there is none."""
    path = measurement_file(reports, problem)
    return dict(read_json(path)) if path.is_file() else {"machine": {}, "rows": []}


def headline_timings(
    measurement: Mapping[str, Any], batch: int = 1, threads: int = 1
) -> dict[str, dict[str, Any]]:
    """Return the timings at one setting by name of the network, in the order measured.

    Parameters
    ----------
    measurement
        What `read_measurement` returned.
    batch
        Examples a call.
    threads
        onnxruntime's threads.

    Returns
    -------
    dict
        Rows of `measuring.Measurement.table`, None where nothing is known.
    """
    rows = measurement["rows"]
    return {r["model"]: r for r in rows if (r["batch"], r["threads"]) == (batch, threads)}
