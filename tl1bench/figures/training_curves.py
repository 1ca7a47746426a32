"""Validation error, training loss and non-zero weights while training."""

from __future__ import annotations

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tl1bench.figures import panels
from tl1bench.figures.context import Context, first_selected
from tl1bench.figures.style import FAINT, WIDTH

_QUANTITIES = {
    "val_error_pct": "validation error [%]",
    "train_loss": "training loss",
    "nonzero_pct": "non-zero weights [%]",
}


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw one row a problem; the shaded phase trains the surviving weights without penalty."""
    count = len(context.problems)
    figure = Figure(figsize=(WIDTH, 1.75 * count + 0.5), layout="constrained")
    axes = figure.subplots(count, len(_QUANTITIES), squeeze=False, sharex="row")
    debiased = False
    for row, problem in zip(axes, context.problems, strict=True):
        curves = _curves(table, problem, context)
        debiased |= any(debias_span(curve) for curve in curves.values())
        for panel, (column, label) in zip(row, _QUANTITIES.items(), strict=True):
            _panel(panel, curves, column, context)
            panel.set_ylabel(label)
            panel.set_xlabel("epoch")
        row[0].set_title(problem)
    handles: list[Artist] = [panels.handle(context.looks[m], marker="") for m in context.methods]
    if debiased:
        handles.append(Patch(color=FAINT, label="debias: zeros frozen, no penalty"))
    panels.legend(figure, handles)
    return figure


def _curves(table: pd.DataFrame, problem: str, context: Context) -> dict[str, pd.DataFrame]:
    curves = {}
    for method in context.methods:
        found = first_selected(table, problem, method)
        if found is not None:
            curve = context.history(problem, method, *found)
            rows = table[(table["problem"] == problem) & (table["method"] == method)]
            share = 100.0 * curve["nonzero_weights"] / rows["weights_dense"].iloc[0]
            curves[method] = curve.assign(nonzero_pct=share)
    return curves


def _panel(panel: Axes, curves: dict[str, pd.DataFrame], column: str, context: Context) -> None:
    spans = {debias_span(curve) for curve in curves.values()} - {None}
    for start, end in sorted(span for span in spans if span is not None):
        panel.axvspan(start, end, color=FAINT, alpha=0.6 / len(spans), lw=0, zorder=0)
    values = pd.concat([curve[column] for curve in curves.values()]) if curves else pd.Series([1.0])
    positive = values[values > 0]
    if not positive.empty and positive.max() / positive.min() > 8:
        panels.log_axis(panel, "y", 0.8 * positive.min(), 1.25 * positive.max())
    for method, curve in curves.items():
        look = context.looks[method]
        shown = curve[curve[column] > 0] if panel.get_yscale() == "log" else curve
        panel.plot(shown["epoch"], shown[column], color=look.color, lw=look.weight)
    panel.margins(x=0.01)


def debias_span(curve: pd.DataFrame) -> tuple[float, float] | None:
    """Return the (first, last) epoch of the debias phase, or None when there is none.

    It begins at the last reading before it: the phase changed somewhere behind that one.
    """
    inside = curve["phase"] == "debias"
    if not inside.any():
        return None
    before = curve["epoch"][~inside]
    start = before.max() if len(before) else curve["epoch"].min()
    return float(start), float(curve["epoch"].max())


def caption(table: pd.DataFrame, context: Context) -> str:
    """Return what is shown and which runs."""
    runs = int(table["selected"].sum())
    return (
        "Validation error, training loss (without the penalty) and share of weights that are not "
        "zero against epochs, for the selected operating point of each method, its first seed "
        f"(of {runs} selected runs on {len(context.problems)} problems). Shaded: the debias phase, "
        "where there is one: the zero pattern is frozen, the survivors train without penalty. The "
        "curve reads the first 1,000 validation examples; it jumps while channels die, and nothing "
        "is selected there."
    )
