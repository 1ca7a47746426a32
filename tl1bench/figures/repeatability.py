"""Whether a measured ratio repeats, and a file against its own copy comes out as 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tl1bench.figures import _panels
from tl1bench.figures._style import ALARM, FAINT, INK, MUTED, WIDTH
from tl1bench.results import repeats
from tl1bench.results.evidence import Evidence

ALLOWED_PCT = 3.0


def draw(table: pd.DataFrame, evidence: Evidence) -> Figure:  # noqa: ARG001
    """Draw the sessions that lie beside the profiles.

    Reads no column: sessions are the protocol's, not the profile's.
    """
    return picture(evidence.sessions())


def picture(folder: Path) -> Figure:
    """Draw the sessions in `folder`: the pair on the left, the negative control on the right."""
    pair, control = (repeats.read(folder / name) for name in (repeats.PAIR, repeats.CONTROL))
    figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("compact LeNet-5 / dense")
    right.set_title("a file / its own copy")
    if _ready(left, pair):
        middle = pair["ratio_p50"].median()
        half = ALLOWED_PCT / 200 * middle
        left.axhspan(middle - half, middle + half, color=FAINT, lw=0)
        _sessions(left, pair, pd.Series(True, index=pair.index))
        left.set_xlabel(f"session: spread {repeats.spread_pct(pair):.1f} % of the ratio")
    if _ready(right, control):
        right.axhline(1.0, color=MUTED, ls="--", lw=1.1)
        _sessions(right, control, control["covers_one"])
        covered = int(control["covers_one"].sum())
        right.set_xlabel(f"session: {covered} of {len(control)} intervals cover 1")
    _panels.legend(
        figure,
        [
            Line2D([], [], color=INK, marker="o", ms=4, label="p50 ratio, 95 % interval"),
            Line2D([], [], color=ALARM, marker="o", ms=4, label="interval misses 1"),
            Line2D([], [], color=FAINT, lw=7, label=f"{ALLOWED_PCT:g} % of the ratio"),
        ],
    )
    _panels.alarm(figure, bool(pair["trusted"].all() and control["trusted"].all()))
    return figure


def _ready(panel: Axes, found: pd.DataFrame) -> bool:
    panel.set_ylabel("p50 ratio")
    if found.empty:
        _panels.nothing(panel, "not measured")
    return not found.empty


def _sessions(panel: Axes, found: pd.DataFrame, good: pd.Series[bool]) -> None:
    number = np.arange(1, len(found) + 1)
    for mask, color in ((good.to_numpy(), INK), (~good.to_numpy(), ALARM)):
        some = found[mask]
        below, above = some["ratio_p50"] - some["ratio_low"], some["ratio_high"] - some["ratio_p50"]
        panel.errorbar(
            number[mask],
            some["ratio_p50"],
            np.stack([below, above]),
            fmt="o",
            ms=3.5,
            color=color,
            lw=1.1,
        )
    panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panel.grid(visible=False, axis="x")


def caption(table: pd.DataFrame, evidence: Evidence) -> str:  # noqa: ARG001
    """Return what is shown, with the spread and the coverage."""
    folder = evidence.sessions()
    pair, control = (repeats.read(folder / name) for name in (repeats.PAIR, repeats.CONTROL))
    if pair.empty or control.empty:
        return "Whether ratios repeat was not measured: run `tl1bench measure --sessions 10`."
    text = (
        f"Whole measurements repeated (batch 1, one thread, {pair['cpu'].iloc[0]}, onnxruntime "
        f"{pair['onnxruntime'].iloc[0]}): the ratio of a compact LeNet-5 (5-10-76-16, random "
        f"weights) to the dense one has a spread (largest minus smallest, of the median) of "
        f"{repeats.spread_pct(pair):.1f} % over {len(pair)} sessions of "
        f"{pair['processes'].iloc[0]} processes. Two copies of one file are the negative control: "
        f"their interval covers 1 in {repeats.covered_pct(control):.0f} % of {len(control)} "
        "sessions."
    )
    doubted = int((~pair["trusted"]).sum() + (~control["trusted"]).sum())
    if doubted:
        text += f" NOT TO BE TRUSTED: the machine was too busy in {doubted} of them."
    return text
