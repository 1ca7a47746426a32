"""Print the newest of asv's result files as one table: `python -m benchmarks._table`."""

from __future__ import annotations

import json
import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

from tabulate import tabulate

RESULTS = Path(__file__).parent / "results"


def rows(result: dict[str, Any], suite: dict[str, Any]) -> list[tuple[str, str, float, str]]:
    """Return (benchmark, parameters, value, unit) of all that was measured."""
    found = []
    column = result["result_columns"].index
    for name, entry in sorted(result["results"].items()):
        names = [word.strip("'") for word in suite[name]["param_names"]]
        points = product(*entry[column("params")])
        for point, value in zip(points, entry[column("result")] or [], strict=False):
            # What was skipped or not asked for is None or NaN.
            if value is not None and not math.isnan(value):
                told = ", ".join(f"{n}={p}" for n, p in zip(names, point, strict=True))
                found.append((name, told.replace("'", ""), value, suite[name]["unit"]))
    return found


def main() -> None:
    """Print the table of the file that was written last."""
    newest = max(RESULTS.glob("*/*-*.json"), key=lambda file: file.stat().st_mtime)
    suite = json.loads((RESULTS / "benchmarks.json").read_text(encoding="utf-8"))
    result = json.loads(newest.read_text(encoding="utf-8"))
    head = f"\n{result['params']['machine']}, commit {result['commit_hash'][:8]}\n"
    table = tabulate(
        rows(result, suite), headers=("benchmark", "of", "value", "unit"), floatfmt=".4g"
    )
    sys.stdout.write(f"{head}{table}\n")


if __name__ == "__main__":
    main()
