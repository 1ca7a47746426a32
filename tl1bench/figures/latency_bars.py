"""Latency of every method at batch 1 and 64, beside dense, masked zeros and the floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tl1bench.figures import _panels
from tl1bench.figures._style import INK, MUTED, WIDTH, looks
from tl1bench.results import DENSE, FLOOR, MASKED, Run
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import number

_BATCHES = (1, 64)
_ZEROS = "#a8a8a8"


@dataclass(frozen=True)
class Bar:
    """A p50 in microseconds with its interval."""

    label: str
    color: str
    p50: float
    low: float
    high: float


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one row a problem and one column a batch size.

    Reads `problem`, `method`, `step`, `seed` and `selected`.
    """
    count = len(evidence.problems)
    height = 0.75 + 0.17 * (len(evidence.methods) + 1)
    figure = Figure(figsize=(WIDTH, height * count + 0.4), layout="constrained")
    axes = figure.subplots(count, len(_BATCHES), squeeze=False)
    for row, problem in zip(axes, evidence.problems, strict=True):
        for panel, batch in zip(row, _BATCHES, strict=True):
            panel.set_title(f"{problem}, batch {batch}")
            floor = evidence.timings(problem, batch).get(FLOOR)
            _panel(panel, bars(table, problem, batch, evidence), floor["p50_us"] if floor else None)
    floor_line = Line2D([], [], color=INK, ls=":", label="floor: a session that computes nothing")
    zeros = Patch(
        facecolor=_ZEROS, hatch="////", edgecolor="white", lw=0, label="pruned, zeros not removed"
    )
    _panels.legend(figure, [zeros, floor_line])
    _panels.alarm(figure, evidence.trusted())
    return figure


def bars(table: pd.DataFrame, problem: str, batch: int, evidence: Evidence) -> list[Bar]:
    """Return dense, masked zeros and each method's selected runs (mean over measured seeds).

    Parameters
    ----------
    table
        Rows of runs.csv.
    problem, batch
        The setting; one thread.
    evidence
        The profile.

    Returns
    -------
    list of Bar
        Empty when dense was not measured. The interval is that of the paired ratio to dense, times
        dense's p50: its hull over seeds.
    """
    timings = evidence.timings(problem, batch)
    if DENSE not in timings:
        return []
    own = looks(evidence.methods)
    dense = float(timings[DENSE]["p50_us"])
    color = own[DENSE].color if DENSE in own else MUTED
    found = [Bar("dense", color, dense, np.nan, np.nan)]
    chosen = table[(table["problem"] == problem) & table["selected"]]
    models = {MASKED: [MASKED]}
    for method in (m for m in evidence.methods if m != DENSE):
        runs = chosen[chosen["method"] == method]
        pairs = zip(runs["step"], runs["seed"], strict=True)
        models[method] = [Run(problem, method, *pair).model for pair in pairs]
    for name, of_name in models.items():
        rows = [timings[model] for model in of_name if model in timings]
        if rows:
            look = own.get(name)
            found.append(
                Bar(
                    look.label if look else "zeros left in place",
                    look.color if look else _ZEROS,
                    float(np.mean([r["p50_us"] for r in rows])),
                    dense * min(r["ratio_low"] for r in rows),
                    dense * max(r["ratio_high"] for r in rows),
                )
            )
    return found


def _panel(panel: Axes, found: list[Bar], floor: float | None) -> None:
    panel.set_xlabel("p50 latency [µs]")
    if not found:
        _panels.nothing(panel, "not measured")
        panel.set_yticks([])
        return
    reach = max(np.nanmax([b.p50, b.high]) for b in found)
    for y, bar in enumerate(found):
        hatch: dict[str, Any] = (
            {"hatch": "////", "edgecolor": "white", "lw": 0} if bar.color == _ZEROS else {}
        )
        panel.barh(y, bar.p50, height=0.7, color=bar.color, **hatch)
        end = bar.p50
        if np.isfinite(bar.low):
            panel.plot([bar.low, bar.high], [y, y], color=INK, lw=1.1)
            end = max(end, bar.high)
        panel.text(
            end + 0.02 * reach,
            y,
            number(bar.p50),
            va="center",
            ha="left",
            size=6.5,
            color=INK,
        )
    if floor is not None:
        panel.axvline(floor, color=INK, ls=":", lw=1.2)
    _panels.bar_axes(panel, [b.label for b in found], 1.24 * reach)


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown and, when the machine was busy, why it cannot be trusted."""
    measured = int((table["selected"] & table["latency_ratio_p50"].notna()).sum())
    text = (
        "Median latency of onnxruntime on the CPU, one thread, at the selected operating points "
        f"({measured} measured networks; at other batches than 1 the first seed). Lines are "
        "bootstrap intervals of the paired ratio to dense, times dense's p50. 'Zeros left in "
        "place' is integrated TL1's network before compaction, the control: what was pruned is "
        f"zero but still there{_zeros(evidence)}. The dotted floor is never subtracted."
    )
    reasons = [
        f"{p}: {m.get('reason') or 'no reason recorded'}"
        for p in evidence.problems
        if not (m := evidence.measurement(p)["machine"]).get("trusted", True)
    ]
    if reasons:
        text += f" NOT TO BE TRUSTED, the machine was too busy ({'; '.join(reasons)})."
    return text


def _zeros(evidence: Evidence) -> str:
    found = [evidence.timings(problem).get(MASKED) for problem in evidence.problems]
    ratios = [row["ratio_p50"] for row in found if row]
    if not ratios:
        return ""
    return (
        f". Its latency at batch 1 is {min(ratios):.2f} to {max(ratios):.2f} of dense's: zeros "
        "alone bring nothing"
        if min(ratios) > 0.95
        else f". Its latency at batch 1 is {min(ratios):.2f} to {max(ratios):.2f} of dense's"
    )
