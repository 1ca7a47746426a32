"""Integrated TL1's whole front against each other method's: area, and size at equal error."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE, HERO, Objective
from tl1bench.results.between_fronts import EQUAL, MARGIN, FrontVersus, versus_fronts
from tl1bench.results.comparison import ALPHA
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import NOTHING, between, number, p_value, signed

_WANTED: dict[Objective, str] = {"nonzero": "non-zero weights", "macs": "MACs"}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return one table: problem × objective × rival."""
    rivals = [m for m in evidence.methods if m not in (DENSE, HERO)]
    found = [
        v
        for problem in filter(evidence.learned, evidence.problems)
        for by in _WANTED
        for v in versus_fronts(table, problem, HERO, rivals, by)
    ]
    return (
        Table(
            name="between-fronts",
            title="Integrated TL1's front against each other front",
            note=(
                "Paired by seed, 95 % BCa intervals, p Holm-adjusted over rivals. Area: how much "
                "more integrated TL1's front dominates, in decades of size × points of test "
                f"{evidence.error} up to {MARGIN:g} points above dense; the points are each "
                "method's front on validation. Size at equal error: where each front crosses "
                f"dense's validation {evidence.error} + {EQUAL:g} points; below 1 integrated TL1 "
                f"is smaller. A verdict needs the interval and p ≤ {ALPHA:g} to agree."
            ),
            header=(
                *("problem", "size", "rival", "seeds", "area gained", "p"),
                *("size at equal error [×]", "p of size", "integrated TL1"),
            ),
            rows=tuple(_row(v, evidence) for v in found),
            bold=frozenset(),
            frame=pd.DataFrame([_flat(v) for v in found]),
        ),
    )


def outcome(found: FrontVersus) -> str:
    """Return wins, loses or ties, by the area."""
    shown = found.area_p <= ALPHA and not found.area.covers(0.0)
    if not shown:
        return "ties"
    return "wins" if found.area.estimate > 0 else "loses"


def _row(v: FrontVersus, evidence: Evidence) -> tuple[str, ...]:
    area = between(v.area.estimate, v.area.low, v.area.high, signed)
    size = between(v.size.estimate, v.size.low, v.size.high, number)
    return (
        v.problem,
        _WANTED[v.by],
        evidence.name(v.problem, v.baseline),
        str(v.seeds),
        area,
        p_value(v.area_p, ALPHA),
        size,
        p_value(v.size_p, ALPHA) if math.isfinite(v.size_p) else NOTHING,
        outcome(v),
    )


def _flat(v: FrontVersus) -> dict[str, object]:
    kept = {k: x for k, x in dataclasses.asdict(v).items() if k not in ("area", "size")}
    for name in ("area", "size"):
        interval = getattr(v, name)
        kept |= {
            name: interval.estimate,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
        }
    return {**kept, "outcome": outcome(v)}
