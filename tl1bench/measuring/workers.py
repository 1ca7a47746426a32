"""Start fresh worker processes that have never seen torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tl1bench.errors import MeasurementError


def run_worker(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Do `job` in a new process of this interpreter, with `folder` (empty) for its files.

    Raises
    ------
    MeasurementError
        With the worker's own sentence when it refused, or its last words when it died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    # -P keeps modules that happen to lie in the current folder out of the worker.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tl1bench.runtime", str(folder)],
        env=_environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    result_file = folder / "result.json"
    if done.returncode != 0 or not result_file.is_file():
        words = done.stderr.strip().splitlines() or ["it left no message"]
        raise MeasurementError(
            f"The worker process for {job['task']!r} ended with status {done.returncode}: "
            f"{words[-1]}"
        )
    result: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    if "error" in result:
        raise MeasurementError(result["error"])
    return result


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    # Where this very package lies, installed or not.
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [ours.get("PYTHONPATH")])]
    # numpy's own threads do nothing here, but each takes memory that would be counted.
    single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    return {**ours, **single, "PYTHONPATH": os.pathsep.join(paths)}
