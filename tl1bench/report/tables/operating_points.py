"""Every operating point of every method on every problem."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tl1bench import metrics
from tl1bench.report.typeset import Table
from tl1bench.results.evidence import Evidence
from tl1bench.results.points import operating_points
from tl1bench.results.printed import display, known, spread

# The first columns; other metrics follow by name, but for those that say it again: inverses of
# these, and what the table of what is left has.
FIRST = (
    "validation_error",
    "test_error",
    "nonzero_kept",
    "weights_kept",
    "macs_kept",
    "latency_ratio",
    "train_seconds",
)
ELSEWHERE = frozenset({"compression", "speed_up", "memory_kept", "onnx_kept"})


def shown(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the metrics that are columns of the table; beside the first those that are known."""
    more = (m for m in metrics.names() if m not in {*FIRST, *ELSEWHERE})
    return (*FIRST, *(m for m in more if metrics.measure(m, table).notna().any()))


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return every operating point of every method on every problem."""
    names = shown(table)
    frame = operating_points(table, names)
    rows = tuple(
        (
            str(p["problem"]),
            evidence.name(p["problem"], p["method"]) if p["selected"] else display(p["method"]),
            str(p["step"]),
            known(p["lam"]),
            str(p["seeds"]),
            "✓" if p["selected"] else "",
            *(_metric(p, name) for name in names),
        )
        for p in frame.to_dict("records")
    )
    found = Table(
        name="operating-points",
        title="All operating points",
        note=(
            "Mean ± standard deviation over seeds; λ, or the share of weights kept by methods "
            "without one; ✓ marks the points selected on validation."
        ),
        header=(
            *("problem", "method", "step", "λ or share", "seeds", "selected"),
            *map(evidence.axis_label, names),
        ),
        rows=rows,
        bold=frozenset(),
        frame=frame,
    )
    return (found,)


def _metric(point: Mapping[Any, Any], name: str) -> str:
    # One seed's ratio is already paired over processes: a deviation over seeds would mislead.
    sd = math.nan if name == "latency_ratio" else point[f"{name}_sd"]
    return spread(point[f"{name}_mean"], sd, known)
