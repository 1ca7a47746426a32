"""Weights, operations and file of every method's selected runs, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE, first_seed
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import NOTHING, count, known

_COUNTS = {
    "weights_dense": "weights dense",
    "nonzero_weights": "theoretical",
    "weights_compact": "compact",
    "macs_dense": "MACs dense",
    "macs_nonzero": "theoretical",
    "macs_compact": "compact",
}
_SIZES = {
    "file_kb": "ONNX [kB]",
    "gzip_kb": "gzip [kB]",
}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return weights, operations and file of every method's selected runs, side by side.

    Dense is the full network, theoretical what would be left if every zero cost nothing, compact
    what is really there.
    """
    chosen = table[table["selected"]]
    rows, numbers = [], []
    for problem in evidence.problems:
        for method in evidence.methods:
            runs = chosen[(chosen["problem"] == problem) & (chosen["method"] == method)]
            if not runs.empty:
                numbers.append(_left(runs, problem, method, evidence))
    for n in numbers:
        counts = [count(n[name]) for name in _COUNTS]
        sizes = [known(n[name]) for name in _SIZES]
        share = f"{n['conv_blocked']:.0f}/{n['conv_total']:.0f}"
        blocked = share if n["conv_total"] > 0 else NOTHING
        rows.append(
            (n["problem"], evidence.name(n["problem"], n["method"]), *counts, *sizes, blocked)
        )
    found = Table(
        name="what-is-left",
        title="What is left: weights, operations, file",
        note=(
            "Mean over seeds at the selected points; MACs for one example. Theoretical counts are "
            "those of the weights that are not zero: what a runtime that skips zeros for free "
            "would need, not what onnxruntime does. The file is that of the first seed's compact "
            "network, gzip -6. Blocked: convolutions that ran in the NCHWc layout."
        ),
        header=("problem", "method", *_COUNTS.values(), *_SIZES.values(), "blocked"),
        rows=tuple(rows),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )
    return (found,)


def _left(runs: pd.DataFrame, problem: str, method: str, evidence: Evidence) -> dict[str, Any]:
    model = DENSE if method == DENSE else first_seed(runs).model
    row = evidence.timings(problem).get(model, {})
    return {
        "problem": problem,
        "method": method,
        **{name: float(runs[name].astype("float64").mean()) for name in _COUNTS},
        "file_kb": _get(row, "file_bytes") / 1e3,
        "gzip_kb": _get(row, "gzip_bytes") / 1e3,
        "conv_blocked": _get(row, "conv_blocked"),
        "conv_total": _get(row, "conv_total"),
    }


def _get(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)
