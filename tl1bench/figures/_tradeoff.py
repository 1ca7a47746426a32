"""What figures of test error against another metric share: marks, whiskers, dense's band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle

from tl1bench.figures import _panels
from tl1bench.figures._style import MUTED, looks
from tl1bench.results import DENSE
from tl1bench.results.evidence import Evidence

# The one formula that we draw: in our style dollars are dollars.
with mpl.rc_context({"text.parse_math": True}):
    _ABOVE = MarkerStyle(r"$\uparrow$")

ERROR = "test_error"


def title(panel: Axes, problem: str, size: str, evidence: Evidence) -> None:
    """Name the panel and its axes.

    Parameters
    ----------
    panel
        Of one problem.
    problem
        Its name.
    size
        The metric on the other axis.
    evidence
        Says what is learned, and whether anything was.
    """
    panel.set_title(evidence.title(problem))
    panel.set_xlabel(evidence.axis_label(size, problem))
    panel.set_ylabel(evidence.axis_label(ERROR, problem))


def handles(evidence: Evidence) -> list[Artist]:
    """Return the legend entries of methods, dense's line, and filled and empty marks."""
    own = looks(evidence.methods)
    found: list[Artist] = [_panels.handle(own[m]) for m in evidence.methods if m != DENSE]
    if DENSE in own:
        found.append(Line2D([], [], color=own[DENSE].color, ls="--", label="dense"))
    found += [
        Line2D([], [], color=MUTED, marker="o", mfc=color, ls="", label=label)
        for color, label in ((MUTED, "selected on validation"), ("white", "other points"))
    ]
    return found


def error_ceiling(points: pd.DataFrame) -> float:
    """Return the error above which points are drawn at the upper edge, as arrows."""
    kept = points[points["selected"] | (points["method"] == DENSE)][f"{ERROR}_mean"].max()
    return float(min(1.6 * kept + 0.6, 1.05 * points[f"{ERROR}_mean"].max() + 0.05))


def draw_points(
    panel: Axes, points: pd.DataFrame, evidence: Evidence, size: str, top: float
) -> None:
    """Draw dense as a line, the others as marks over metric `size`; `top` is the error's ceiling.

    `points` are one problem's operating points.
    """
    _dense(panel, points, evidence)
    for method in (m for m in evidence.methods if m != DENSE):
        _method(panel, points[points["method"] == method], evidence, method, size, top)


def _dense(panel: Axes, points: pd.DataFrame, evidence: Evidence) -> None:
    """Draw the dense network's error as a line with its interval as a band."""
    for dense in points[(points["method"] == DENSE) & points["selected"]].to_dict("records"):
        color = looks(evidence.methods)[DENSE].color
        low, high = dense[f"{ERROR}_low"], dense[f"{ERROR}_high"]
        panel.axhline(dense[f"{ERROR}_mean"], color=color, ls="--", lw=1.1, zorder=1.5)
        if np.isfinite(low):
            panel.axhspan(low, high, color=color, alpha=0.13, lw=0)


def _method(
    panel: Axes, points: pd.DataFrame, evidence: Evidence, method: str, size: str, top: float
) -> None:
    """Draw a method's operating points joined in order of steps, with intervals both ways."""
    look = looks(evidence.methods)[method]
    points = points[points[f"{size}_mean"].notna()].sort_values("step")
    inside = points[points[f"{ERROR}_mean"] <= top]
    line: dict[str, Any] = {
        "color": look.color,
        "lw": look.weight * 0.7,
        "alpha": 0.75,
        "zorder": 2,
    }
    panel.plot(inside[f"{size}_mean"], inside[f"{ERROR}_mean"], **line)
    for p in points.to_dict("records"):
        above = p[f"{ERROR}_mean"] > top
        at = (p[f"{size}_mean"], top if above else p[f"{ERROR}_mean"])
        if not above:
            _whiskers(panel, p, size, look.color)
        panel.plot(
            *at,
            marker=_ABOVE if above else look.marker,
            color=look.color,
            mfc=look.color if p["selected"] or above else "white",
            mew=0.5 if above else 1.2,
            ms=8 if above else 6 if p["selected"] else 4.5,
            clip_on=not above,
            zorder=4 if p["selected"] else 3,
        )


def _whiskers(panel: Axes, p: Mapping[Any, Any], size: str, color: str) -> None:
    style: dict[str, Any] = {"color": color, "lw": 0.9, "alpha": 0.7, "zorder": 2.5}
    x, y = p[f"{size}_mean"], p[f"{ERROR}_mean"]
    if np.isfinite(p[f"{ERROR}_low"]):
        panel.plot([x] * 2, [p[f"{ERROR}_low"], p[f"{ERROR}_high"]], **style)
    if np.isfinite(p[f"{size}_low"]):
        panel.plot([p[f"{size}_low"], p[f"{size}_high"]], [y] * 2, **style)
