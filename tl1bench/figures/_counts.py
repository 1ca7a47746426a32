"""Test error against how much of a network is kept, counted in one way or another."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tl1bench.figures import _panels, _published, _tradeoff
from tl1bench.figures._style import INK, looks
from tl1bench.figures._tradeoff import ERROR
from tl1bench.results import HERO, Objective, select
from tl1bench.results.evidence import Evidence
from tl1bench.results.fronts import pareto_front
from tl1bench.results.points import operating_points


def draw(
    table: pd.DataFrame,
    evidence: Evidence,
    size: str,
    by: Objective,
    published: _published.Kept | None = None,
) -> Figure:
    """Draw one panel a problem; filled marks are the points selected on validation.

    Parameters
    ----------
    table
        Rows of runs.csv.
    evidence
        The profile.
    size
        The metric on the horizontal axis, in percent of dense.
    by
        What the filled points are the smallest in.
    published
        Of what others report shares that are shown; None for nothing.

    Returns
    -------
    Figure
        With the legend below.
    """
    figure, axes = _panels.grid(len(evidence.problems), height=2.7)
    for panel, problem in zip(axes, evidence.problems, strict=True):
        runs = table[table["problem"] == problem]
        runs = runs.assign(selected=select(runs, evidence.tolerance_pct, by))
        others = _published.points(problem, published)
        _panel(panel, problem, operating_points(runs, (size, ERROR)), evidence, size, others)
    handles = _tradeoff.handles(evidence)
    if HERO in evidence.methods:
        hero = looks(evidence.methods)[HERO]
        label = f"Pareto front of {hero.label}"
        handles.append(Line2D([], [], color=hero.color, lw=6, alpha=0.2, label=label))
    reported = {o.recollection for p in evidence.problems for o in _published.points(p, published)}
    if False in reported:
        handles.append(Line2D([], [], color=INK, marker="x", ls="", label="reported elsewhere"))
    if True in reported:
        text = "reported elsewhere, recollected"
        handles.append(Line2D([], [], color=INK, marker="+", ms=7, ls="", label=text))
    _panels.legend(figure, handles, columns=3)
    return figure


def _panel(
    panel: Axes,
    problem: str,
    points: pd.DataFrame,
    evidence: Evidence,
    size: str,
    others: Sequence[_published.Point],
) -> None:
    top = _tradeoff.error_ceiling(points)
    sizes = [*points[f"{size}_mean"], *(o.kept_pct for o in others)]
    # A network of which nothing is left has no place on a logarithmic axis.
    smallest = min(value for value in (*sizes, 100.0) if value > 0)
    _panels.log_axis(panel, "x", 0.6 * smallest, 140.0)
    _tradeoff.draw_points(panel, points, evidence, size, top)
    hero = points[points["method"] == HERO]
    if len(hero) > 1:
        _front(panel, hero, looks(evidence.methods)[HERO].color, top, size)
    _others(panel, others)
    bottom, _ = panel.get_ylim()
    panel.set_ylim(bottom - (0.06 * (top - bottom) if others else 0.0), top * 1.03)
    _tradeoff.title(panel, problem, size, evidence)


def _others(panel: Axes, others: Sequence[_published.Point]) -> None:
    for i, (letter, other) in enumerate(zip(string.ascii_lowercase, others, strict=False)):
        mark = "+" if other.recollection else "x"
        panel.plot(other.kept_pct, other.error_pct, mark, color=INK, ms=5, zorder=5)
        # Neighbours in size get their letters on opposite sides.
        panel.annotate(
            letter,
            (other.kept_pct, other.error_pct),
            xytext=(0, 5 if i % 2 else -10),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=INK,
            zorder=6,
        )


def _front(panel: Axes, hero: pd.DataFrame, color: str, top: float, size: str) -> None:
    hero = hero[hero[f"{ERROR}_mean"] <= top]
    front = hero.iloc[pareto_front(hero[[f"{size}_mean", f"{ERROR}_mean"]])]
    style: dict[str, Any] = {
        "color": color,
        "lw": 6,
        "alpha": 0.2,
        "solid_capstyle": "round",
        "zorder": 1.8,
    }
    panel.plot(front[f"{size}_mean"], front[f"{ERROR}_mean"], **style)


def caption(
    table: pd.DataFrame,
    evidence: Evidence,
    what: str,
    wanted: str,
    published: _published.Kept | None = None,
) -> str:
    """Return what is shown, with the provenance of every point reported elsewhere.

    Parameters
    ----------
    table
        Rows of runs.csv.
    evidence
        The profile.
    what
        What is counted.
    wanted
        What the filled points have fewest of.
    published
        As for `draw`.

    Returns
    -------
    str
        Some sentences.
    """
    seeds = table.groupby(["problem", "method", "step"])["seed"].nunique()
    span = " to ".join(str(n) for n in sorted({seeds.min(), seeds.max()}))
    sample = (
        "one seed, so without intervals"
        if seeds.max() == 1
        else f"mean over {span} seeds with 95 % BCa bootstrap intervals"
    )
    text = (
        f"Test {evidence.error} against {what}, {sample}. Each mark is one step of a path, or one "
        f"λ; filled ones were selected on the validation split (fewest {wanted} within "
        f"{evidence.tolerance_pct:g} points of dense), the test split taking no part. Arrows at "
        "the upper edge stand for points above it."
    )
    for problem in evidence.problems:
        reported = _published.points(problem, published)
        others = [
            f"({letter}) {o.who} {o.year}, {o.basis}"
            + (", recollected and not checked" if o.recollection else "")
            + f" [{o.reference}]"
            for letter, o in zip(string.ascii_lowercase, reported, strict=False)
        ]
        if others:
            text += f" Reported elsewhere for {problem}: {'; '.join(others)}."
    return text
