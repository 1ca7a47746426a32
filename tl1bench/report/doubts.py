"""How surely each point was chosen: what none reached, what lay at the path's end or in noise."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from tl1bench.results import DENSE, OBJECTIVES
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display, number


def doubts(table: pd.DataFrame, evidence: Evidence) -> tuple[str, ...]:
    """Return a sentence for each operating point that another draw or grid might have changed.

    The bar is dense's mean validation error plus the tolerance. There is a doubt when
    no point is below the bar, when the sparsest one is, or when the one chosen, or one with a
    smaller network, lies closer to the bar than the standard error of its distance from dense.
    """
    found: list[str] = []
    for problem in filter(evidence.learned, evidence.problems):
        runs = table[table["problem"] == problem]
        dense = runs[(runs["method"] == DENSE) & runs["selected"]].set_index("seed")
        if dense.empty:
            continue
        for method in evidence.methods:
            own = runs[runs["method"] == method]
            if method != DENSE and not own.empty:
                where = f"{problem}, {display(method)}: "
                bar = dense["val_error_pct"] + evidence.tolerance_pct
                sentences = _doubts(own, bar, OBJECTIVES[evidence.by])
                found += [where + sentence for sentence in sentences]
    return tuple(found)


def _doubts(own: pd.DataFrame, bar: pd.Series[float], size: str) -> Iterator[str]:
    over = own["val_error_pct"] - own["seed"].map(bar)
    points = (
        own.assign(over=over)
        .groupby("step")
        .agg(over=("over", "mean"), error=("over", "sem"), size=(size, "mean"))
    )
    if len(points) <= 1 or not own["selected"].any():  # given, not chosen
        return
    chosen = own.loc[own["selected"], "step"].iloc[0]
    at = points.loc[chosen]
    if at["over"] > 0:
        yield ("no point came within the bar on validation; the most accurate is shown.")
        return
    if chosen == points.index.max():
        yield "the last point was still within; a smaller network may be in reach."
    for step, point in points.iterrows():
        if not abs(point["over"]) < point["error"]:  # one seed has no standard error: NaN
            continue
        said = (
            f"point {step} lies {number(abs(point['over']))} points "
            f"{'above' if point['over'] > 0 else 'below'} the bar, less than its standard error "
            f"({number(point['error'])})"
        )
        if step == chosen:
            yield f"{said}: another draw might not choose it."
        elif point["over"] > 0 and point["size"] < at["size"]:
            ratio = point["size"] / at["size"]
            yield f"{said}: another draw might choose it, at {number(ratio)} × the size."
