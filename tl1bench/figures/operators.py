"""Where the time goes: operator by operator, dense, masked and compact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tl1bench.figures import _panels
from tl1bench.figures._style import INK, WIDTH
from tl1bench.results import DENSE, HERO, MASKED
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import display, number

_BATCHES = (1, 64)
# Okabe and Ito's colours again, in another order than the methods have them.
KINDS = {
    "convolution, blocked": "#0072B2",
    "convolution, plain": "#D55E00",
    "matrix product": "#009E73",
    "reordering to and from blocks": "#E69F00",
    "picking inputs": "#CC79A7",
    "pooling": "#56B4E9",
    "other": "#a8a8a8",
}


def kind(operator: str, blocked: bool) -> str:
    """Return the kind of an operator of onnxruntime's optimised graph: a key of `KINDS`."""
    if operator.endswith("Conv"):
        return "convolution, blocked" if blocked else "convolution, plain"
    for part, found in (
        ("Reorder", "reordering to and from blocks"),
        ("Gemm", "matrix product"),
        ("MatMul", "matrix product"),
        ("Pool", "pooling"),
        ("Gather", "picking inputs"),
    ):
        if part in operator:
            return found
    return "other"


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:  # noqa: ARG001
    """Draw one row a problem and one column a batch size: stacked time per kind of operator.

    Reads no column: the measurement's record alone.
    """
    count = len(evidence.problems)
    figure = Figure(figsize=(WIDTH, 1.35 * count + 0.7), layout="constrained")
    axes = figure.subplots(count, len(_BATCHES), squeeze=False)
    for row, problem in zip(axes, evidence.problems, strict=True):
        for panel, batch in zip(row, _BATCHES, strict=True):
            panel.set_title(f"{problem}, batch {batch}")
            _panel(panel, times(problem, batch, evidence), evidence.timings(problem, batch))
    handles: list[Any] = [Patch(facecolor=color, label=name) for name, color in KINDS.items()]
    handles.append(Line2D([], [], color=INK, lw=1.6, label="whole call, not profiled (p50)"))
    _panels.legend(figure, handles, columns=3)
    _panels.alarm(figure, evidence.trusted())
    return figure


def times(problem: str, batch: int, evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return microseconds by kind of operator, by model: dense, masked, integrated TL1.

    Parameters
    ----------
    problem, batch
        The setting; one thread.
    evidence
        The profile.

    Returns
    -------
    dict
        Empty when nothing was profiled.
    """
    found: dict[str, dict[str, float]] = {}
    for node in evidence.measurement(problem).get("operators", ()):
        if (node["batch"], node["threads"]) == (batch, 1):
            own = found.setdefault(node["model"], dict.fromkeys(KINDS, 0.0))
            own[kind(node["operator"], node["blocked"])] += node["mean_us"]
    return found


def _panel(
    panel: Axes, found: Mapping[str, Mapping[str, float]], rows: Mapping[str, Mapping[str, Any]]
) -> None:
    panel.set_xlabel("time [µs]")
    if not found:
        _panels.nothing(panel, "not profiled")
        panel.set_yticks([])
        return
    whole = {model: float(rows[model]["p50_us"]) for model in found if model in rows}
    reach = max(*(sum(own.values()) for own in found.values()), *whole.values())
    for y, (model, own) in enumerate(found.items()):
        left = 0.0
        for name, color in KINDS.items():
            panel.barh(y, own[name], left=left, height=0.7, color=color, lw=0)
            left += own[name]
        if model in whole:
            panel.plot([whole[model]] * 2, [y - 0.42, y + 0.42], color=INK, lw=1.6)
        panel.text(
            max(left, whole.get(model, 0.0)) + 0.02 * reach,
            y,
            _convolutions(rows.get(model, {})),
            va="center",
            size=6,
            color=INK,
        )
    _panels.bar_axes(panel, [_label(model) for model in found], 1.5 * reach)


def _label(model: str) -> str:
    return {DENSE: "dense", MASKED: "zeros left in place"}.get(model, display(model.split("/")[0]))


def _convolutions(row: Mapping[str, Any]) -> str:
    if not row.get("conv_total"):
        return ""
    return f"{row['conv_channels']}\n{row['conv_blocked']} of {row['conv_total']} blocked"


def caption(table: pd.DataFrame, evidence: Evidence) -> str:  # noqa: ARG001
    """Return what is shown, and what became of dense's most expensive kind of operator."""
    text = (
        "Time per operator of onnxruntime's optimised graph, from its own profiler (one thread, "
        "first seed of the selected point). The profiler slows every operator down and counts "
        "whole microseconds: read shares, not sums; the black mark is a whole call without it. "
        "Beside convolutional networks stand the filters of each convolution and how many of them "
        "ran in the blocked layout, which works on 8 or 16 channels at a time: between two "
        "multiples a narrower layer is no faster, and reordering may make it slower."
    )
    for problem in evidence.problems:
        sentence = _change(problem, evidence)
        text += f" {sentence}" if sentence else ""
    if not evidence.trusted():
        text += " NOT TO BE TRUSTED: the machine was too busy while measuring."
    return text


def _change(problem: str, evidence: Evidence) -> str:
    batch = max(_BATCHES)
    found = times(problem, batch, evidence)
    own = next((model for model in found if model.startswith(f"{HERO}/")), None)
    if DENSE not in found or own is None:
        return ""
    dense = found[DENSE]
    most = max(dense, key=lambda name: dense[name])
    # A convolution may leave the blocked layout: both layouts count as the same work.
    work = most.split(",")[0]
    before, compact = (
        sum(us for name, us in some.items() if name.startswith(work))
        for some in (dense, found[own])
    )
    share = 100 * before / sum(dense.values())
    return (
        f"{problem}, batch {batch}: the {work} takes {share:.0f} % of dense's operator time, and "
        f"in {display(HERO)} {number(compact / before)} × as long."
    )
