"""Test error against measured latency: what onnxruntime gains, not what a count promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tl1bench import metrics
from tl1bench.figures import panels
from tl1bench.figures.accuracy_size import Y, draw_dense, draw_method, error_ceiling
from tl1bench.figures.context import Context
from tl1bench.figures.style import INK, MUTED
from tl1bench.results import DENSE, run_name
from tl1bench.results.comparison import operating_points

X = "latency_ratio"


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw one panel a problem: ratio of p50, batch 1, one thread, with intervals both ways."""
    figure, axes = panels.grid(len(context.problems), height=2.7)
    for panel, problem in zip(axes, context.problems, strict=True):
        _panel(panel, problem, table[table["problem"] == problem], context)
    handles = [panels.handle(context.looks[m]) for m in context.methods if m != DENSE]
    if DENSE in context.methods:
        handles.append(Line2D([], [], color=context.looks[DENSE].color, ls="--", label="dense"))
    handles += [
        Line2D([], [], color=MUTED, marker="o", mfc=color, ls="", label=label)
        for color, label in ((MUTED, "selected on validation"), ("white", "other λ"))
    ]
    handles.append(Line2D([], [], color=INK, ls=":", label="floor: an empty network"))
    panels.legend(figure, handles, columns=3)
    panels.alarm(figure, context.trusted())
    return figure


def _panel(panel: Axes, problem: str, runs: pd.DataFrame, context: Context) -> None:
    panel.set_title(problem)
    panel.set_xlabel(metrics.axis_label(X))
    panel.set_ylabel(metrics.axis_label(Y))
    points = measured_points(runs, problem, context)
    measured = points[points[f"{X}_mean"].notna()]
    if measured.empty:
        text = "nothing was measured"
        panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", color=MUTED)
        return
    floor = _floor(problem, context)
    top = error_ceiling(points)
    low = min(measured[f"{X}_low"].min(), floor if floor else np.inf)
    high = max(measured[f"{X}_high"].max(), 1.0)
    panels.log_axis(panel, "x", 0.8 * low, 1.25 * high)
    panel.axvline(1.0, color=MUTED, ls="--", lw=1.1)
    if floor:
        panel.axvline(floor, color=INK, ls=":", lw=1.2)
    draw_dense(panel, points, context)
    for method in (m for m in context.methods if m != DENSE):
        draw_method(panel, points[points["method"] == method], context, method, X, top)
    panel.set_ylim(top=top * 1.03)


def measured_points(runs: pd.DataFrame, problem: str, context: Context) -> pd.DataFrame:
    """Return the operating points with the latency's measured interval instead of the seeds'.

    Over several measured seeds it is the hull of their intervals, the wider statement.
    """
    points = operating_points(runs, (X, Y))
    timings = context.timings(problem)
    low, high = [], []
    for point in points.to_dict("records"):
        of_point = runs[(runs["method"] == point["method"]) & (runs["lam"] == point["lam"])]
        names = [f"{point['method']}/{run_name(point['lam'], s)}" for s in of_point["seed"]]
        rows = [timings[name] for name in names if name in timings]
        low.append(min((r["ratio_low"] for r in rows), default=np.nan))
        high.append(max((r["ratio_high"] for r in rows), default=np.nan))
    return points.assign(**{f"{X}_low": low, f"{X}_high": high})


def _floor(problem: str, context: Context) -> float | None:
    timings = context.timings(problem)
    if DENSE not in timings or "floor" not in timings:
        return None
    return float(timings["floor"]["p50_us"] / timings[DENSE]["p50_us"])


def caption(table: pd.DataFrame, context: Context) -> str:
    """Return what is shown and, when the machine was busy, that it cannot be trusted."""
    measured = int(table["latency_ratio_p50"].notna().sum())
    bars = (
        " (their hull over seeds), vertical ones 95 % BCa intervals over seeds"
        if table["seed"].nunique() > 1
        else "; one seed has none of its test error"
    )
    text = (
        f"Test error against the measured latency of the compact network over the dense one: p50 "
        f"of onnxruntime on the CPU, batch 1, one thread, {measured} measured networks. Horizontal "
        f"bars are bootstrap intervals over processes{bars}. The dotted line is the floor, "
        "a session that computes nothing; it is marked, never subtracted."
    )
    if not context.trusted():
        text += " The machine was too busy while measuring: these latencies are not to be trusted."
    return text
