"""What is left of each network: units of the compact layers inside the dense outline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tl1bench.figures._style import INK, MUTED, WIDTH, Look, looks
from tl1bench.results import DENSE, first_selected
from tl1bench.results.evidence import Evidence


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one row a problem and one column a method; a bar's length is the root of its units.

    Reads `problem`, `method`, `step`, `seed` and `selected`.
    """
    methods = [m for m in evidence.methods if m != DENSE] or list(evidence.methods)
    stacks = {
        (problem, method): _stack(table, problem, method, evidence)
        for problem in evidence.problems
        for method in methods
    }
    depth = [max(len(stacks[p, m]) for m in methods) for p in evidence.problems]
    heights = [0.6 + 0.16 * d for d in depth]
    figure = Figure(
        figsize=(max(WIDTH, 1.35 * len(methods) + 0.5), sum(heights)), layout="constrained"
    )
    axes = figure.subplots(
        len(evidence.problems), len(methods), squeeze=False, height_ratios=heights
    )
    for row, problem in zip(axes, evidence.problems, strict=True):
        widest = max((b for m in methods for _, b, _ in stacks[problem, m]), default=1)
        for panel, method in zip(row, methods, strict=True):
            stack = stacks[problem, method]
            _panel(panel, stack, widest, looks(evidence.methods)[method])
            panel.tick_params(labelleft=method == methods[0])
        row[0].set_title(problem, loc="left", pad=16)
    for problem, row in zip(evidence.problems, axes, strict=True):
        for panel, method in zip(row, methods, strict=True):
            if not stacks[problem, method]:  # not tried here
                continue
            look = looks(evidence.methods)[method]
            over_the_bars = panel.get_xaxis_transform()
            panel.text(0, 1.02, look.label, transform=over_the_bars, ha="center", size=7.5)
    return figure


def _stack(
    table: pd.DataFrame, problem: str, method: str, evidence: Evidence
) -> list[tuple[str, int, int]]:
    """(name, units before, units after) of the inputs and of each layer of the first run."""
    found = first_selected(table, problem, method)
    layers = evidence.layers(found) if found else []
    weighted = [layer for layer in layers if layer["weights_before"] > 0]
    if not weighted:
        return []
    first: dict[str, Any] = weighted[0]
    return [
        ("input", first["inputs_before"], first["inputs_after"]),
        *(
            (_short(x["name"], i), x["units_before"], x["units_after"])
            for i, x in enumerate(weighted, start=1)
        ),
    ]


def _short(name: str, position: int) -> str:
    name = name.removesuffix(".weight")
    if name.isdigit():
        return f"layer {position}"
    return name if len(name) <= 14 else f"…{name[-13:]}"


def _panel(panel: Axes, stack: Sequence[tuple[str, int, int]], widest: int, look: Look) -> None:
    full = math.sqrt(widest)
    for y, (_, before, after) in enumerate(stack):
        for units, style in (
            (before, {"facecolor": "#f1f1f1", "edgecolor": MUTED, "linewidth": 0.6}),
            (after, {"facecolor": look.color, "edgecolor": "none"}),
        ):
            width = math.sqrt(units) / full
            panel.barh(y, width, height=0.72, left=-width / 2, **style)
        panel.text(0.56, y, f"{after:,}/{before:,}", va="center", ha="left", size=6, color=INK)
    panel.set_xlim(-0.53, 1.12)
    panel.set_ylim(len(stack) - 0.4, -0.6)
    panel.set_yticks(range(len(stack)), [name for name, _, _ in stack], size=6.5)
    panel.set_xticks([])
    panel.grid(visible=False)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown, with the seed that is drawn."""
    seeds = sorted(set(table[table["selected"]]["seed"]))
    seed = f"seed {seeds[0]}" if seeds else "no run"
    return (
        "Units of every layer after exact compaction (filled, left number) inside the dense "
        f"network (outline, right number), at the selected operating point, {seed}. The length of "
        "a bar is the square root of the number of units. 'input' counts the features or channels "
        "that the first layer takes, those with weights of zero alone among them unless an index "
        f"picks the others (compact.gather). Problems: {', '.join(evidence.problems)}."
    )
