"""Size of the ONNX file and memory of the process that runs it, dense against compact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tl1bench.figures import _panels
from tl1bench.figures._style import INK, MUTED, WIDTH, looks
from tl1bench.results import DENSE, first_seed
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import number

_QUANTITIES = (
    ("onnx_bytes", "ONNX file [kB]", 1e-3),
    ("uss", "memory of the process, USS [MiB]", 1.0),
)
_COLUMNS = {
    "onnx_bytes": ("onnx_bytes_dense", "onnx_bytes_compact"),
    "uss": ("uss_dense_mib", "uss_compact_mib"),
}


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw one row a problem: an outline for dense, a bar for what is left.

    Reads `problem`, `method`, `step`, `seed`, `selected`, `onnx_bytes_dense`, `onnx_bytes_compact`,
    `uss_dense_mib` and `uss_compact_mib`.
    """
    count = len(evidence.problems)
    height = 0.75 + 0.17 * len(evidence.methods)
    figure = Figure(figsize=(WIDTH, height * count + 0.4), layout="constrained")
    axes = figure.subplots(count, len(_QUANTITIES), squeeze=False)
    for row, problem in zip(axes, evidence.problems, strict=True):
        chosen = table[(table["problem"] == problem) & table["selected"]]
        for panel, (key, label, unit) in zip(row, _QUANTITIES, strict=True):
            panel.set_xlabel(label)
            marks = _marks(chosen, problem, key, evidence)
            _panel(panel, chosen, _COLUMNS[key], unit, evidence, marks)
        row[0].set_title(problem)
    outline = Patch(facecolor="none", edgecolor=MUTED, label="dense")
    file = Line2D([], [], color=INK, lw=1.6, label="the file's gzip; memory after loading")
    arena = Line2D([], [], color=INK, marker="x", ms=4, ls="", label="memory without the arena")
    _panels.legend(figure, [outline, file, arena])
    return figure


def _marks(
    chosen: pd.DataFrame, problem: str, key: str, evidence: Evidence
) -> dict[str, tuple[float, float]]:
    """Return by method where the stroke and the cross go: see the legend."""
    timings, memory = evidence.timings(problem), evidence.memory(problem)
    found = {}
    for method, runs in chosen.groupby("method", sort=False):
        model = first_seed(runs).model
        row, bare = timings.get(model, {}), memory.get(model, {})
        if key == "uss":
            pair = (row.get("uss_load_mib"), bare.get("uss_run_mib"))
        else:
            pair = (row.get("gzip_bytes"), None)
        found[str(method)] = tuple(math.nan if v is None else float(v) for v in pair)
    return cast("dict[str, tuple[float, float]]", found)


def _panel(
    panel: Axes,
    chosen: pd.DataFrame,
    columns: tuple[str, str],
    unit: float,
    evidence: Evidence,
    marks: Mapping[str, tuple[float, float]],
) -> None:
    values = chosen.set_index("method")[list(columns)].astype("float64").groupby(level=0).mean()
    methods = [m for m in evidence.methods if m != DENSE and m in values.index]
    reach = (
        unit * float(np.nanmax(values.to_numpy())) if values.notna().any(axis=None) else math.nan
    )
    if not methods or not math.isfinite(reach):
        _panels.nothing(panel, "not measured")
        panel.set_yticks([])
        return
    own = looks(evidence.methods)
    for y, method in enumerate(methods):
        dense, compact = (unit * values.loc[method, list(columns)].to_numpy()).tolist()
        panel.barh(y, compact, height=0.7, color=own[method].color)
        panel.barh(y, dense, height=0.7, facecolor="none", edgecolor=MUTED, linewidth=0.8)
        stroke, cross = (unit * v for v in marks.get(method, (math.nan, math.nan)))
        panel.plot([stroke, stroke], [y - 0.42, y + 0.42], color=INK, lw=1.6)
        panel.plot([cross], [y], color=INK, marker="x", ms=4, ls="")
        if math.isfinite(compact) and math.isfinite(dense):
            text = f"{number(compact)} ({number(100 * compact / dense)} %)"
            end = np.nanmax([compact, dense, stroke, cross])
            panel.text(end + 0.03 * reach, y, text, va="center", size=6.5, color=INK)
    _panels.bar_axes(panel, [own[m].label for m in methods], 1.5 * reach)


def caption(table: pd.DataFrame, evidence: Evidence) -> str:
    """Return what is shown."""
    exported = int((table["selected"] & table["onnx_bytes_compact"].notna()).sum())
    return (
        "Bytes of the ONNX file (one file, weights inside) and unique set size of a fresh process "
        "without torch after running it (batch 1, one thread, allocator arena on), mean over the "
        f"exported seeds of the selected operating points ({exported} networks, "
        f"{len(evidence.problems)} problems). Strokes mark the file's gzip and the memory after "
        "loading alone, crosses the memory after running without the arena. The runtime itself "
        "takes most of the memory of small networks."
    )
