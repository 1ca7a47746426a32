"""Few weights and little work at once: non-zero weights against MACs, at equal error."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tl1bench.figures import _panels
from tl1bench.figures._style import MUTED, looks
from tl1bench.results import DENSE, select
from tl1bench.results.evidence import Evidence

_SIZES = ("nonzero_weights", "macs_compact")


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one panel a problem: every point within the tolerance, the chosen ones filled.

    Reads `problem`, `method`, `step`, `seed`, `val_error_pct`, `nonzero_weights` and
    `macs_compact`.
    """
    figure, panels = _panels.grid(len(evidence.problems))
    for panel, problem in zip(panels, evidence.problems, strict=False):
        _panel(panel, table[table["problem"] == problem], problem, evidence)
    own = looks(evidence.methods)
    handles: list[Artist] = [_panels.handle(own[m]) for m in evidence.methods if m != DENSE]
    handles += [
        Line2D([], [], color=MUTED, marker="o", mfc=fill, ls="", label=label)
        for fill, label in ((MUTED, "fewest non-zeros, or fewest MACs"), ("white", "other points"))
    ]
    handles.append(Line2D([], [], color=MUTED, marker="*", ls="", label="dense"))
    _panels.legend(figure, handles)
    return figure


def _panel(panel: Axes, runs: pd.DataFrame, problem: str, evidence: Evidence) -> None:
    chosen = {by: runs[select(runs, evidence.tolerance_pct, by)] for by in ("nonzero", "macs")}
    points = _within(runs, evidence.tolerance_pct)
    panel.set_title(evidence.title(problem))
    panel.set_xlabel("non-zero weights")
    panel.set_ylabel("MACs a sample")
    if points.empty:
        _panels.nothing(panel, "no point within the tolerance")
        return
    dense = runs[runs["method"] == DENSE][list(_SIZES)].mean()
    low = points[list(_SIZES)].min() / 1.6
    high = pd.concat([points[list(_SIZES)], dense.to_frame().T]).max() * 1.6
    _panels.log_axis(panel, "x", low[_SIZES[0]], high[_SIZES[0]])
    _panels.log_axis(panel, "y", low[_SIZES[1]], high[_SIZES[1]])
    panel.plot(*dense, marker="*", color=MUTED, ms=9, ls="")
    for method in (m for m in evidence.methods if m != DENSE):
        look = looks(evidence.methods)[method]
        own = points[points["method"] == method].sort_values("step")
        panel.plot(
            own[_SIZES[0]], own[_SIZES[1]], color=look.color, lw=0.7 * look.weight, alpha=0.7
        )
        filled = {s for c in chosen.values() for s in c["step"][c["method"] == method]}
        for point in own.to_dict("records"):
            fill = look.color if point["step"] in filled else "white"
            panel.plot(
                point[_SIZES[0]], point[_SIZES[1]],
                marker=look.marker, color=look.color, mfc=fill, ms=5.5, mew=1.1, zorder=3,
            )  # fmt: skip


def _within(runs: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return the mean points whose mean validation error is within the tolerance of dense."""
    grouped = runs.groupby(["method", "step"], sort=False)
    means = grouped[["val_error_pct", *_SIZES]].mean().assign(seeds=grouped["seed"].nunique())
    # A step that some seed did not reach is no mean of all.
    means = means[means["seeds"] == runs["seed"].nunique()].reset_index()
    bar = means.loc[means["method"] == DENSE, "val_error_pct"].min() + tolerance
    bar = bar if np.isfinite(bar) else np.inf
    return means[(means["val_error_pct"] <= bar + 1e-9) & (means["method"] != DENSE)]


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown."""
    seeds = table["seed"].nunique()
    return (
        "Non-zero weights against multiply-accumulates of the compact network, for every point "
        f"whose mean validation {evidence.error} is within {evidence.tolerance_pct:g} points of "
        "dense: at equal error, then, lower left is better in both. Connections alone leave many "
        "MACs, neurons alone many weights. Filled are each method's points of fewest non-zeros and "
        f"of fewest MACs. Means over {seeds} seed{'s' * (seeds > 1)}."
    )
