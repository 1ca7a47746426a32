"""Size of the ONNX file, memory that it adds to a process, and the process: dense, compact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tl1bench.figures import _panels
from tl1bench.figures._style import INK, MUTED, WIDTH, Look, looks
from tl1bench.results import DENSE, FLOOR, first_seed
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import number

# Label, columns of dense and compact, and how many units of the axis one of theirs is.
_PANELS = {
    "file": ("ONNX file [kB]", "onnx_bytes_dense", "onnx_bytes_compact", 1e-3),
    "added": ("added memory, peak [MiB]", "added_peak_dense_mib", "added_peak_compact_mib", 1.0),
    "whole": ("whole process, USS [MiB]", "uss_dense_mib", "uss_compact_mib", 1.0),
}


@dataclass(frozen=True)
class Bar:
    """What dense takes and what is left of it, in the axis' units, NaN where not measured.

    `low` and `high` are the least and most of what is left over processes.
    """

    method: str
    dense: float
    compact: float
    stroke: float
    cross: float
    low: float
    high: float

    @property
    def end(self) -> float:
        """Where everything that is drawn ends."""
        return float(np.nanmax([self.dense, self.compact, self.stroke, self.cross, self.high]))


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one row a problem: an outline for dense, a bar for what is left.

    Reads `problem`, `method`, `step`, `seed`, `selected`, `onnx_bytes_dense`, `onnx_bytes_compact`,
    `added_peak_dense_mib`, `added_peak_compact_mib`, `uss_dense_mib` and `uss_compact_mib`.
    """
    count = len(evidence.problems)
    height = 0.75 + 0.17 * len(evidence.methods)
    figure = Figure(figsize=(WIDTH, height * count + 0.6), layout="constrained")
    axes = figure.subplots(count, len(_PANELS), squeeze=False)
    for row, problem in zip(axes, evidence.problems, strict=True):
        for panel, (key, (label, *_)) in zip(row, _PANELS.items(), strict=True):
            panel.set_xlabel(label)
            _panel(panel, bars(table, problem, key, evidence), looks(evidence.methods))
            if panel is not row[0]:
                panel.set_yticklabels([])
        row[0].set_title(problem)
    stroke = "the file's gzip; memory after loading; a process with onnxruntime alone"
    handles = [
        Patch(facecolor="none", edgecolor=MUTED, label="dense"),
        Line2D([], [], color=INK, lw=1.6, label=stroke),
        Line2D([], [], color=INK, marker="x", ms=4, ls="", label="memory without the arena"),
        Line2D([], [], color=INK, marker="|", ms=4, lw=0.8, label="least to most over processes"),
    ]
    _panels.legend(figure, handles, columns=2)
    return figure


def bars(table: pd.DataFrame, problem: str, key: str, evidence: Evidence) -> list[Bar]:
    """Return the bars of one panel, a method each; none when nothing was measured.

    Parameters
    ----------
    table
        Rows of runs.csv.
    problem
        Whose.
    key
        A panel: "file", "added" or "whole".
    evidence
        The profile.

    Returns
    -------
    list of Bar
        Means over the measured seeds; marks are those of the first.
    """
    _, dense, compact, unit = _PANELS[key]
    chosen = table[(table["problem"] == problem) & table["selected"]]
    found = []
    for method in (m for m in evidence.methods if m != DENSE):
        runs = chosen[chosen["method"] == method]
        means = unit * runs[[dense, compact]].astype("float64").mean()
        if not means.isna().any():
            known = _marks(key, problem, first_seed(runs).model, evidence)
            marks = [math.nan if v is None else unit * float(v) for v in known]
            found.append(Bar(method, float(means[dense]), float(means[compact]), *marks))
    return found


def _marks(key: str, problem: str, model: str, evidence: Evidence) -> Sequence[float | None]:
    """Return stroke, cross, low and high: see the legend."""
    row = evidence.timings(problem).get(model, {})
    if key == "file":
        return row.get("gzip_bytes"), None, None, None
    if key == "whole":
        return evidence.timings(problem).get(FLOOR, {}).get("uss_run_mib"), None, None, None
    on, off = (evidence.memory(problem, arena=arena).get(model, {}) for arena in (True, False))
    return (
        on.get("added_load_mib"),
        off.get("added_peak_mib"),
        on.get("added_peak_low_mib"),
        on.get("added_peak_high_mib"),
    )


def _panel(panel: Axes, found: Sequence[Bar], own: Mapping[str, Look]) -> None:
    if not found:
        _panels.nothing(panel, "not measured")
        panel.set_yticks([])
        return
    reach = max(bar.end for bar in found)
    thin: dict[str, Any] = {"color": INK, "lw": 0.8}
    for y, bar in enumerate(found):
        panel.barh(y, bar.compact, height=0.7, color=own[bar.method].color)
        panel.barh(y, bar.dense, height=0.7, facecolor="none", edgecolor=MUTED, linewidth=0.8)
        panel.plot([bar.stroke, bar.stroke], [y - 0.42, y + 0.42], color=INK, lw=1.6)
        panel.plot([bar.low, bar.high], [y, y], marker="|", ms=4, **thin)
        panel.plot([bar.cross], [y], color=INK, marker="x", ms=4, ls="")
        share = f" ({number(100 * bar.compact / bar.dense)} %)" if bar.dense > 0 else ""
        panel.text(
            bar.end + 0.04 * reach, y, number(bar.compact) + share, va="center", size=6, color=INK
        )
    _panels.bar_axes(panel, [own[bar.method].label for bar in found], 1.7 * reach)
    panel.locator_params(axis="x", nbins=4)


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown."""
    exported = int((table["selected"] & table["onnx_bytes_compact"].notna()).sum())
    return (
        "Left: bytes of the ONNX file (one file, weights inside), stroke: its gzip. Middle: what "
        "the network adds at its peak to a process that has onnxruntime in it (batch 1, one "
        "thread): the growth of a fresh process less that of one with an Identity graph, stroke: "
        "after loading (which may be more: see the table), cross: at the peak without the "
        "allocator's arena, thin line: least to most over processes. Right: the unique set size of "
        "the whole process after running, stroke: that with the Identity graph, of which no "
        "network can save anything. Means over the "
        f"exported seeds of the selected operating points ({exported} networks, "
        f"{len(evidence.problems)} problems); memory is that of the first seed."
    )
