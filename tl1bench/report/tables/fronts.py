"""Each method's points on the common Pareto fronts, and the area that they dominate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE
from tl1bench.results.evidence import Evidence
from tl1bench.results.fronts import hypervolume, pareto_front
from tl1bench.results.points import operating_points
from tl1bench.results.printed import known

_MARGIN = 3.0
# Label and dense's own value of what is traded against test error.
_FRONTS = {"weights_kept": ("size", 100.0), "latency_ratio": ("latency", 1.0)}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return each method's points on the common Pareto front, and its hypervolume.

    Both for test error against weights kept and against the latency ratio; the reference is dense's
    size (or latency) and its error plus `_MARGIN` points. Problems on which nothing was learned
    have none.
    """
    points = operating_points(table, (*_FRONTS, "test_error"))
    learned = filter(evidence.learned, evidence.problems)
    numbers = [n for p in learned for n in _of_problem(points, p, evidence)]
    rows = []
    for found in numbers:
        texts = [known(v) if isinstance(v, float) else str(v) for v in found.values()]
        name = evidence.name(found["problem"], found["method"])
        rows.append((found["problem"], name, *texts[2:]))
    fronts = Table(
        name="fronts",
        title="Pareto fronts and hypervolumes",
        note=(
            "How many of a method's operating points (means over seeds) no point of any method "
            f"beats in both test {evidence.error} and size, or test {evidence.error} and measured "
            "latency, and the area its points dominate up to dense's size or latency and its error "
            f"plus {_MARGIN:g} points, in units of that reference: more is better, and a method "
            "with fewer points can hardly have more."
        ),
        header=(
            *("problem", "method", "points", "on the front (size)", "hypervolume (size)"),
            *("on the front (latency)", "hypervolume (latency)"),
        ),
        rows=tuple(rows),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )
    return (fronts,)


def _of_problem(points: pd.DataFrame, problem: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
    own = points[points["problem"] == problem]
    bar = own.loc[own["method"] == DENSE, "test_error_mean"].min() + _MARGIN
    fronts = {name: _front(own, name) for name in _FRONTS}
    for method in (m for m in evidence.methods if m in set(own["method"])):
        mine = own[own["method"] == method]
        found: dict[str, Any] = {"problem": problem, "method": method, "points": len(mine)}
        for name, (label, worst) in _FRONTS.items():
            pairs = mine[[f"{name}_mean", "test_error_mean"]].dropna()
            there = math.isfinite(bar) and not pairs.empty
            area = hypervolume(pairs, (worst, bar)) / (worst * _MARGIN) if there else math.nan
            found[f"front_{label}"] = int(fronts[name].isin(mine.index).sum())
            found[f"hypervolume_{label}"] = area
        yield found


def _front(points: pd.DataFrame, name: str) -> pd.Index[Any]:
    pairs = points[[f"{name}_mean", "test_error_mean"]].dropna()
    return pairs.index[pareto_front(pairs)]
