"""Validation error, training loss and non-zero weights along paths, or while training."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tl1bench.figures import _panels
from tl1bench.figures._style import FAINT, WIDTH, looks
from tl1bench.results import Run, first_selected
from tl1bench.results.evidence import Evidence

_QUANTITIES = ("val_error_pct", "train_loss", "nonzero_pct")


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one row a problem; the shaded phase trains the surviving weights without penalty.

    Reads `problem`, `method`, `step`, `seed`, `selected`, `val_error_pct` and `weights_dense`.
    """
    count = len(evidence.problems)
    figure = Figure(figsize=(WIDTH, 1.75 * count + 0.5), layout="constrained")
    axes = figure.subplots(count, len(_QUANTITIES), squeeze=False, sharex="row")
    debiased = False
    for row, problem in zip(axes, evidence.problems, strict=True):
        curves = _curves(table, problem, evidence)
        debiased |= any(debias_span(curve) for curve in curves.values())
        labels = (
            evidence.axis_label("validation_error", problem),
            "training loss",
            evidence.axis_label("nonzero_kept"),
        )
        for panel, column, label in zip(row, _QUANTITIES, labels, strict=True):
            _panel(panel, curves, column, evidence)
            panel.set_ylabel(label)
            panel.set_xlabel("epoch")
        row[0].set_title(evidence.title(problem))
    own = looks(evidence.methods)
    handles: list[Artist] = [_panels.handle(own[m], marker="") for m in evidence.methods]
    if debiased:
        handles.append(Patch(color=FAINT, label="debias: zeros frozen, no penalty"))
    _panels.legend(figure, handles)
    return figure


def _curves(table: pd.DataFrame, problem: str, evidence: Evidence) -> dict[str, pd.DataFrame]:
    curves = {}
    for method in evidence.methods:
        found = first_selected(table, problem, method)
        if found is not None:
            rows = table[(table["problem"] == problem) & (table["method"] == method)]
            curve = _path(rows, evidence, found)
            if curve.empty:
                curve = evidence.history(found)
            share = 100.0 * curve["nonzero_weights"] / rows["weights_dense"].iloc[0]
            curves[method] = curve.assign(nonzero_pct=share)
    return curves


def _path(rows: pd.DataFrame, evidence: Evidence, run: Run) -> pd.DataFrame:
    """Return a whole path as a curve; the error of a step is that of its branch."""
    errors = rows[rows["seed"] == run.seed].set_index("step")["val_error_pct"]
    course = evidence.course(run.problem, run.method, run.seed)
    if course.empty:
        return course
    # Every loss may be missing: a method's own loop need not return one.
    loss = course.get("train_loss", pd.Series(math.nan, course.index))
    found = course["step"].map(errors)
    return course.assign(val_error_pct=found, train_loss=loss, phase="train")


def _panel(panel: Axes, curves: dict[str, pd.DataFrame], column: str, evidence: Evidence) -> None:
    spans = {debias_span(curve) for curve in curves.values()} - {None}
    for start, end in sorted(span for span in spans if span is not None):
        panel.axvspan(start, end, color=FAINT, alpha=0.6 / len(spans), lw=0, zorder=0)
    values = pd.concat([curve[column] for curve in curves.values()]) if curves else pd.Series([1.0])
    positive = values[values > 0]
    if not positive.empty and positive.max() / positive.min() > 8:
        _panels.log_axis(panel, "y", 0.8 * positive.min(), 1.25 * positive.max())
    for method, curve in curves.items():
        look = looks(evidence.methods)[method]
        shown = curve[curve[column] > 0] if panel.get_yscale() == "log" else curve
        if len(curve) == 1:  # the dense network of a path: a level, not a curve
            panel.axhline(curve[column].iloc[0], color=look.color, lw=look.weight, ls="--")
            continue
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


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown and which runs."""
    runs, problems = int(table["selected"].sum()), len(evidence.problems)
    return (
        f"Validation {evidence.error}, training loss (without the penalty) and share of weights "
        f"that are not zero against epochs, for the first seed of each method ({runs} selected "
        f"runs on {problems} problems). Of a path each step is shown: loss and weights at its end, "
        f"and the validation {evidence.error} of its branch, once there are branches; the dashed "
        "line is the dense network's. Where each λ is trained by itself, the selected one: shaded "
        "is the debias phase, where the zero pattern is frozen and the survivors train without "
        "penalty; that curve reads the first 1,000 validation examples, and nothing is selected "
        "there."
    )
