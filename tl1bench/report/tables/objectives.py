"""What each method reaches where something else is wanted small: points chosen anew for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from tl1bench import results
from tl1bench.report.typeset import Table
from tl1bench.report.within import within
from tl1bench.results import DENSE, Objective
from tl1bench.results.evidence import GUESSES, Evidence
from tl1bench.results.guessing import marks
from tl1bench.results.printed import count, display, known, spread

_WANTED: dict[Objective, str] = {
    "nonzero": "non-zero weights",
    "weights": "weights",
    "macs": "MACs",
    "latency": "latency",
}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return one table: problem × objective × method, each point chosen on validation."""
    frame = pd.DataFrame([row for p in evidence.problems for row in _of(table, p, evidence)])
    rows = tuple(
        (
            str(r["problem"]),
            _WANTED[r["objective"]],
            display(r["method"]) + _mark(r),
            spread(r["test_error_pct"], r["test_error_sd_pct"]),
            count(r["nonzero_weights"]),
            count(r["weights_compact"]),
            count(r["macs_compact"]),
            known(r["latency_ratio"]),
            str(r["architecture"]),
        )
        for r in frame.to_dict("records")
    )
    return (
        Table(
            name="objectives",
            title="By what is wanted small",
            note=(
                f"Of the points whose mean validation error is within {evidence.tolerance_pct:g} "
                "points of dense the one that is smallest in what is wanted, chosen alike for "
                "every method; means over seeds, architecture of the first. A method that has no "
                "such point is shown by its most accurate one, marked, and never the best; nor is "
                "one that does no better than guessing. Few scattered weights are not a fast "
                "network. Latency: of the seeds measured, against dense."
            ),
            header=(
                *("problem", "wanted small", "method", evidence.axis_label("test_error")),
                *("non-zero weights", "weights", "MACs", "latency [× dense]", "architecture"),
            ),
            rows=rows,
            bold=_best(frame),
            frame=frame,
        ),
    )


def _of(table: pd.DataFrame, problem: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
    own = table[table["problem"] == problem]
    for objective in _WANTED:
        chosen = own[results.select(own, evidence.tolerance_pct, objective)]
        able = within(chosen, own, evidence.tolerance_pct) if evidence.learned(problem) else ()
        guesses = marks(chosen)
        for method in evidence.methods:
            runs = chosen[chosen["method"] == method].sort_values("seed")
            if method == DENSE or runs.empty:
                continue
            yield {
                "problem": problem,
                "objective": objective,
                "method": method,
                "step": runs["step"].iloc[0],
                "test_error_pct": runs["test_error_pct"].mean(),
                "test_error_sd_pct": runs["test_error_pct"].std(),
                "nonzero_weights": runs["nonzero_weights"].mean(),
                "weights_compact": runs["weights_compact"].mean(),
                "macs_compact": runs["macs_compact"].mean(),
                "latency_ratio": runs["latency_ratio_p50"].mean(),
                "architecture": runs["architecture"].iloc[0],
                "within": method in able and (problem, method) not in guesses,
                "guesses": (problem, method) in guesses,
            }


def _mark(row: dict[Any, Any]) -> str:
    if row["guesses"]:
        return GUESSES
    return "" if row["within"] else " (not within)"


def _best(frame: pd.DataFrame) -> frozenset[tuple[int, int]]:
    """Mark the smallest size of each problem and objective."""
    columns = ("nonzero_weights", "weights_compact", "macs_compact", "latency_ratio")
    bold = set()
    for place, (objective, column) in enumerate(zip(_WANTED, columns, strict=True), 4):
        own = frame[(frame["objective"] == objective) & frame["within"]]
        least = own.groupby("problem")[column].transform("min")
        best = frame.index.isin(own.index[own[column] == least])
        bold |= {(int(row), place) for row in np.flatnonzero(best)}
    return frozenset(bold)
