"""Test error against measured latency: what onnxruntime gains, not what a count promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tl1bench.figures import _panels, _tradeoff
from tl1bench.figures._style import INK, MUTED
from tl1bench.results import DENSE, FLOOR
from tl1bench.results.evidence import Evidence
from tl1bench.results.points import measured_points

LATENCY = "latency_ratio"


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one panel a problem: ratio of p50, batch 1, one thread, with intervals both ways.

    Reads `problem`, `method`, `step`, `lam`, `seed`, `selected`, `test_error_pct` and
    `latency_ratio_p50`.
    """
    figure, axes = _panels.grid(len(evidence.problems), height=2.7)
    for panel, problem in zip(axes, evidence.problems, strict=True):
        _panel(panel, problem, table[table["problem"] == problem], evidence)
    handles = _tradeoff.handles(evidence)
    handles.append(Line2D([], [], color=INK, ls=":", label="floor: an empty network"))
    _panels.legend(figure, handles, columns=3)
    _panels.alarm(figure, evidence.trusted())
    return figure


def _panel(panel: Axes, problem: str, runs: pd.DataFrame, evidence: Evidence) -> None:
    _tradeoff.title(panel, problem, LATENCY, evidence)
    points = measured_points(runs, evidence.timings(problem))
    measured = points[points[f"{LATENCY}_mean"].notna()]
    if measured.empty:
        _panels.nothing(panel, "nothing was measured")
        return
    floor = _floor(problem, evidence)
    top = _tradeoff.error_ceiling(points)
    low = min(measured[f"{LATENCY}_low"].min(), floor if floor else np.inf)
    high = max(measured[f"{LATENCY}_high"].max(), 1.0)
    _panels.log_axis(panel, "x", 0.8 * low, 1.25 * high)
    panel.axvline(1.0, color=MUTED, ls="--", lw=1.1)
    if floor:
        panel.axvline(floor, color=INK, ls=":", lw=1.2)
    _tradeoff.draw_points(panel, points, evidence, LATENCY, top)
    panel.set_ylim(top=top * 1.03)


def _floor(problem: str, evidence: Evidence) -> float | None:
    timings = evidence.timings(problem)
    if DENSE not in timings or FLOOR not in timings:
        return None
    return float(timings[FLOOR]["p50_us"] / timings[DENSE]["p50_us"])


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown and, when the machine was busy, that it cannot be trusted."""
    measured = int(table["latency_ratio_p50"].notna().sum())
    bars = (
        " (their hull over seeds), vertical ones 95 % BCa intervals over seeds"
        if table["seed"].nunique() > 1
        else f"; one seed has none of its test {evidence.error}"
    )
    text = (
        f"Test {evidence.error} against the measured latency of the compact network over the "
        f"dense one: p50 of onnxruntime on the CPU, batch 1, one thread, {measured} measured "
        f"networks. Horizontal bars are bootstrap intervals over processes{bars}. The dotted line "
        "is the floor, a session that computes nothing; it is marked, never subtracted."
    )
    if not evidence.trusted():
        text += " The machine was too busy while measuring: these latencies are not to be trusted."
    return text
