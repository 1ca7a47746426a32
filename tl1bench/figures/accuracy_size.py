"""Test error against the share of weights that the compact network keeps."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tl1bench import metrics
from tl1bench.figures import panels, published
from tl1bench.figures.context import Context
from tl1bench.figures.style import INK, MUTED
from tl1bench.results import DENSE, HERO, statistics
from tl1bench.results.comparison import operating_points

X, Y = "weights_kept", "test_error"


def draw(table: pd.DataFrame, context: Context) -> Figure:
    """Draw one panel a problem; filled marks are the points selected on validation."""
    figure, axes = panels.grid(len(context.problems), height=2.7)
    reported: set[bool] = set()
    for panel, problem in zip(axes, context.problems, strict=True):
        points = operating_points(table[table["problem"] == problem], (X, Y))
        reported |= _panel(panel, problem, points, context)
    handles = [panels.handle(context.looks[m]) for m in context.methods if m != DENSE]
    if DENSE in context.methods:
        handles.append(Line2D([], [], color=context.looks[DENSE].color, ls="--", label="dense"))
    handles += [
        Line2D([], [], color=MUTED, marker="o", mfc=color, ls="", label=label)
        for color, label in ((MUTED, "selected on validation"), ("white", "other λ"))
    ]
    if HERO in context.methods:
        front = f"Pareto front of {context.looks[HERO].label}"
        handles.append(
            Line2D([], [], color=context.looks[HERO].color, lw=6, alpha=0.2, label=front)
        )
    if False in reported:
        handles.append(Line2D([], [], color=INK, marker="x", ls="", label="reported elsewhere"))
    if True in reported:
        text = "reported elsewhere, recollected"
        handles.append(Line2D([], [], color=INK, marker="+", ms=7, ls="", label=text))
    panels.legend(figure, handles, columns=3)
    return figure


def _panel(panel: Axes, problem: str, points: pd.DataFrame, context: Context) -> set[bool]:
    others = published.points(problem)
    top = error_ceiling(points)
    smallest = min([points[f"{X}_mean"].min(), *(o.weights_pct for o in others)])
    panels.log_axis(panel, "x", 0.6 * smallest, 140.0)
    draw_dense(panel, points, context)
    for method in (m for m in context.methods if m != DENSE):
        draw_method(panel, points[points["method"] == method], context, method, X, top)
    hero = points[points["method"] == HERO]
    if len(hero) > 1:
        _front(panel, hero, context.looks[HERO].color, top)
    for i, (letter, other) in enumerate(zip(string.ascii_lowercase, others, strict=False)):
        mark = "+" if other.recollection else "x"
        panel.plot(other.weights_pct, other.error_pct, mark, color=INK, ms=5, zorder=5)
        # Neighbours in size get their letters on opposite sides.
        panel.annotate(
            letter,
            (other.weights_pct, other.error_pct),
            xytext=(0, 5 if i % 2 else -10),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=INK,
            zorder=6,
        )
    bottom, _ = panel.get_ylim()
    panel.set_ylim(bottom - (0.06 * (top - bottom) if others else 0.0), top * 1.03)
    panel.set_title(problem)
    panel.set_xlabel(metrics.axis_label(X))
    panel.set_ylabel(metrics.axis_label(Y))
    return {other.recollection for other in others}


def error_ceiling(points: pd.DataFrame) -> float:
    """Return the error above which points are drawn at the upper edge, as arrows."""
    kept = points[points["selected"] | (points["method"] == DENSE)][f"{Y}_mean"].max()
    return float(min(1.6 * kept + 0.6, 1.05 * points[f"{Y}_mean"].max() + 0.05))


def draw_dense(panel: Axes, points: pd.DataFrame, context: Context) -> None:
    """Draw the dense network's error as a line with its interval as a band."""
    for dense in points[(points["method"] == DENSE) & points["selected"]].to_dict("records"):
        color = context.looks[DENSE].color
        panel.axhline(dense[f"{Y}_mean"], color=color, ls="--", lw=1.1, zorder=1.5)
        if np.isfinite(dense[f"{Y}_low"]):
            panel.axhspan(dense[f"{Y}_low"], dense[f"{Y}_high"], color=color, alpha=0.13, lw=0)


def draw_method(
    panel: Axes, points: pd.DataFrame, context: Context, method: str, x: str, top: float
) -> None:
    """Draw a method's operating points joined in order of λ, with intervals both ways."""
    look = context.looks[method]
    points = points[points[f"{x}_mean"].notna()].sort_values("lam")
    inside = points[points[f"{Y}_mean"] <= top]
    line: dict[str, Any] = {
        "color": look.color,
        "lw": look.weight * 0.7,
        "alpha": 0.75,
        "zorder": 2,
    }
    panel.plot(inside[f"{x}_mean"], inside[f"{Y}_mean"], **line)
    for p in points.to_dict("records"):
        above = p[f"{Y}_mean"] > top
        at = (p[f"{x}_mean"], top if above else p[f"{Y}_mean"])
        if not above:
            _whiskers(panel, p, x, look.color)
        panel.plot(
            *at,
            marker=r"$\uparrow$" if above else look.marker,
            color=look.color,
            mfc=look.color if p["selected"] or above else "white",
            mew=0.5 if above else 1.2,
            ms=8 if above else 6 if p["selected"] else 4.5,
            clip_on=not above,
            zorder=4 if p["selected"] else 3,
        )


def _whiskers(panel: Axes, p: Mapping[Any, Any], x: str, color: str) -> None:
    style: dict[str, Any] = {"color": color, "lw": 0.9, "alpha": 0.7, "zorder": 2.5}
    if np.isfinite(p[f"{Y}_low"]):
        panel.plot([p[f"{x}_mean"]] * 2, [p[f"{Y}_low"], p[f"{Y}_high"]], **style)
    if np.isfinite(p[f"{x}_low"]):
        panel.plot([p[f"{x}_low"], p[f"{x}_high"]], [p[f"{Y}_mean"]] * 2, **style)


def _front(panel: Axes, hero: pd.DataFrame, color: str, top: float) -> None:
    hero = hero[hero[f"{Y}_mean"] <= top]
    front = hero.iloc[statistics.pareto_front(hero[[f"{X}_mean", f"{Y}_mean"]])]
    style: dict[str, Any] = {
        "color": color,
        "lw": 6,
        "alpha": 0.2,
        "solid_capstyle": "round",
        "zorder": 1.8,
    }
    panel.plot(front[f"{X}_mean"], front[f"{Y}_mean"], **style)


def caption(table: pd.DataFrame, context: Context) -> str:
    """Return what is shown, with the provenance of every point reported elsewhere."""
    seeds = table.groupby(["problem", "method", "lam"])["seed"].nunique()
    span = " to ".join(str(n) for n in sorted({seeds.min(), seeds.max()}))
    sample = (
        "one seed, so without intervals"
        if seeds.max() == 1
        else f"mean over {span} seeds with 95 % BCa bootstrap intervals"
    )
    text = (
        f"Test error against the weights left after exact compaction, {sample}. Each mark is one "
        "λ; filled ones were selected on the validation split (smallest network within "
        f"{context.tolerance_pct:g} points of dense), test errors taking no part. Arrows at the "
        "upper edge stand for points above it."
    )
    for problem in context.problems:
        others = [
            f"({letter}) {o.who} {o.year}, {o.basis}"
            + (", recollected and not checked" if o.recollection else "")
            + f" [{o.source}]"
            for letter, o in zip(string.ascii_lowercase, published.points(problem), strict=False)
        ]
        if others:
            text += f" Reported elsewhere for {problem}: {'; '.join(others)}."
    return text
