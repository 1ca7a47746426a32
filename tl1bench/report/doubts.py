"""How surely each λ was chosen: what no λ reached, what lay at the grid's end or in the noise."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from tl1bench.results import DENSE
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display, number


def doubts(table: pd.DataFrame, evidence: Evidence) -> tuple[str, ...]:
    """Return a sentence for each operating point that another draw or grid might have changed.

    The bar is dense's mean validation error plus the tolerance. A point is in doubt when no λ is
    below the bar, when the largest λ tried is, or when the λ chosen, or one with a smaller network,
    lies closer to the bar than the standard error of its paired distance from dense.
    """
    found: list[str] = []
    for problem in evidence.problems:
        runs = table[table["problem"] == problem]
        dense = runs[(runs["method"] == DENSE) & runs["selected"]].set_index("seed")
        if dense.empty:
            continue
        for method in evidence.methods:
            own = runs[runs["method"] == method]
            if method != DENSE and not own.empty:
                where = f"{problem}, {display(method)}: "
                sentences = _doubts(own, dense["val_error_pct"], evidence.tolerance_pct)
                found += [where + sentence for sentence in sentences]
    return tuple(found)


def _doubts(own: pd.DataFrame, dense: pd.Series[float], tolerance: float) -> Iterator[str]:
    over = own["val_error_pct"] - own["seed"].map(dense) - tolerance
    points = (
        own.assign(over=over)
        .groupby("lam")
        .agg(over=("over", "mean"), error=("over", "sem"), weights=("weights_compact", "mean"))
    )
    if len(points) == 1:  # given, not chosen
        return
    chosen = own.loc[own["selected"], "lam"].iloc[0]
    at = points.loc[chosen]
    if at["over"] > 0:
        yield (
            f"no λ tried came within {tolerance:g} points of dense on validation; the most "
            "accurate is shown."
        )
        return
    if chosen == points.index.max():
        yield "the largest λ tried was still within; a smaller network may be in reach."
    for lam, point in points.iterrows():
        if not abs(point["over"]) < point["error"]:  # one seed has no standard error: NaN
            continue
        said = (
            f"λ = {lam:g} lies {number(abs(point['over']))} points "
            f"{'above' if point['over'] > 0 else 'below'} the bar, less than its standard error "
            f"({number(point['error'])})"
        )
        if lam == chosen:
            yield f"{said}: another draw might not choose it."
        elif point["over"] > 0 and point["weights"] < at["weights"]:
            ratio = point["weights"] / at["weights"]
            yield f"{said}: another draw might choose it, at {number(ratio)} × the weights."
