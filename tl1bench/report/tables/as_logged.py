"""The as-coded experiment, layer by layer: what its script logs, and what is computed."""

from __future__ import annotations

import math

import pandas as pd

from tl1bench.report.as_logged import layer_counts
from tl1bench.report.typeset import Table
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display

_COUNTS = ("nonzero", "macs_logged", "macs_nonzero", "macs_compact")
_OF = ("weights", "macs_logged_dense", "macs_dense", "macs_dense")


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return one table a problem that repeats the script: none in most profiles."""
    return tuple(_of_problem(p, layer_counts(table, p, evidence)) for p in evidence.as_coded)


def _of_problem(problem: str, frame: pd.DataFrame) -> Table:
    rows = tuple(
        (
            display(r["method"]),
            r["layer"],
            f"{r['weights']:,}",
            *(f"{r[n]:,} ({100 * r[n] / r[of]:.2f} %)" for n, of in zip(_COUNTS, _OF, strict=True)),
            f"{r['test_accuracy_pct']:.2f}" if math.isfinite(r["test_accuracy_pct"]) else "",
        )
        for r in frame.to_dict("records")
    )
    ends = (
        f"{display(r['method'])} {100 * r['nonzero_at_end'] / r['weights']:.2f} %"
        for r in frame.dropna(subset="nonzero_at_end").to_dict("records")
    )
    return Table(
        name=f"{problem}-as-logged",
        title=f"{problem}: what the script logs, and what is computed",
        note=(
            "Shares are of the same network without zeros. MACs as logged: those of non-zero "
            "weights, convolutions counted without their padding, as the script does for its FLOP "
            "ratio. MACs of non-zero weights: the same at the true sizes. MACs, compact: what the "
            "compact network performs. Non-zero are weights once units that nothing reads have "
            f"left; in the last training step it was: {', '.join(ends)}. Biases are not counted."
        ),
        header=(
            "method",
            "layer",
            "weights",
            "non-zero",
            "MACs as logged",
            "MACs of non-zero weights",
            "MACs, compact",
            "test accuracy [%]",
        ),
        rows=rows,
        bold=frozenset(),
        frame=frame,
    )
