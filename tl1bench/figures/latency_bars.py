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
from matplotlib.ticker import MaxNLocator

from tl1bench.figures import panels
from tl1bench.figures.context import Context
from tl1bench.figures.style import INK, MUTED, WIDTH
from tl1bench.results import DENSE, MASKED, run_name

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


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw one row a problem and one column a batch size."""
    count = len(context.problems)
    height = 0.75 + 0.17 * (len(context.methods) + 1)
    figure = Figure(figsize=(WIDTH, height * count + 0.4), layout="constrained")
    axes = figure.subplots(count, len(_BATCHES), squeeze=False)
    for row, problem in zip(axes, context.problems, strict=True):
        for panel, batch in zip(row, _BATCHES, strict=True):
            panel.set_title(f"{problem}, batch {batch}")
            floor = context.timings(problem, batch).get("floor")
            _panel(panel, bars(table, problem, batch, context), floor["p50_us"] if floor else None)
    floor_line = Line2D([], [], color=INK, ls=":", label="floor: a session that computes nothing")
    zeros = Patch(
        facecolor=_ZEROS, hatch="////", edgecolor="white", lw=0, label="pruned, zeros not removed"
    )
    panels.legend(figure, [zeros, floor_line])
    panels.alarm(figure, context.trusted())
    return figure


def bars(table: pd.DataFrame, problem: str, batch: int, context: Context) -> list[Bar]:
    """Return dense, masked zeros and each method's selected runs (mean over measured seeds).

    The interval is that of the paired ratio to dense, times dense's p50: its hull over seeds.
    """
    timings = context.timings(problem, batch)
    if DENSE not in timings:
        return []
    dense = float(timings[DENSE]["p50_us"])
    found = [
        Bar(
            "dense",
            context.looks[DENSE].color if DENSE in context.looks else MUTED,
            dense,
            np.nan,
            np.nan,
        )
    ]
    groups = {MASKED: [timings[MASKED]] if MASKED in timings else []}
    chosen = table[(table["problem"] == problem) & table["selected"]]
    for method in (m for m in context.methods if m != DENSE):
        runs = chosen[chosen["method"] == method]
        names = [
            f"{method}/{run_name(lam, seed)}"
            for lam, seed in zip(runs["lam"], runs["seed"], strict=True)
        ]
        groups[method] = [timings[name] for name in names if name in timings]
    for name, rows in groups.items():
        if rows:
            look = context.looks.get(name)
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
        text = "not measured"
        panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", color=MUTED)
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
            panels.number(bar.p50),
            va="center",
            ha="left",
            size=6.5,
            color=INK,
        )
    if floor is not None:
        panel.axvline(floor, color=INK, ls=":", lw=1.2)
    panel.set_yticks(range(len(found)), [b.label for b in found])
    panel.set_ylim(len(found) - 0.4, -0.6)
    panel.set_xlim(0, 1.24 * reach)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def caption(table: pd.DataFrame, context: Context) -> str:
    """Return what is shown and, when the machine was busy, why it cannot be trusted."""
    measured = int((table["selected"] & table["latency_ratio_p50"].notna()).sum())
    text = (
        "Median latency of onnxruntime on the CPU, one thread, at the selected operating points "
        f"({measured} measured networks; at other batches than 1 the first seed). Lines are "
        "bootstrap intervals of the paired ratio to dense, times dense's p50. 'Zeros left in "
        "place' is integrated TL1's network before compaction, the control: what was pruned is "
        f"zero but still there{_zeros(context)}. The dotted floor is never subtracted."
    )
    reasons = [
        f"{p}: {m.get('reason') or 'no reason recorded'}"
        for p in context.problems
        if not (m := context.measurement(p)["machine"]).get("trusted", True)
    ]
    if reasons:
        text += f" NOT TO BE TRUSTED, the machine was too busy ({'; '.join(reasons)})."
    return text


def _zeros(context: Context) -> str:
    found = [context.timings(problem).get(MASKED) for problem in context.problems]
    ratios = [row["ratio_p50"] for row in found if row]
    if not ratios:
        return ""
    return (
        f". Its latency at batch 1 is {min(ratios):.2f} to {max(ratios):.2f} of dense's: zeros "
        "alone bring nothing"
        if min(ratios) > 0.95
        else f". Its latency at batch 1 is {min(ratios):.2f} to {max(ratios):.2f} of dense's"
    )
