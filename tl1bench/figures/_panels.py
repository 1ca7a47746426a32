"""Parts that several figures share: a grid of panels, a legend outside, readable log ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from tl1bench.figures._style import ALARM, MUTED, WIDTH, Look


def grid(count: int, columns: int = 2, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels; places left over stay empty."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.set_axis_off()
    return figure, list(axes[:count])


def handle(look: Look, **style: Any) -> Line2D:
    """Return the legend entry of a method."""
    settings: dict[str, Any] = {
        "color": look.color,
        "marker": look.marker,
        "lw": look.weight,
        "label": look.label,
    }
    return Line2D([], [], **(settings | style))


def legend(figure: Figure, handles: Sequence[Any], columns: int = 4) -> None:
    """Put the legend below all panels, where it covers no data."""
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=min(columns, len(handles))
    )


def alarm(figure: Figure, trusted: bool) -> None:
    """Say loudly, in the figure itself, that its times are not to be trusted."""
    if not trusted:
        figure.suptitle(
            "MACHINE TOO BUSY WHILE MEASURING: DO NOT TRUST THESE TIMES",
            color="white",
            weight="bold",
            fontsize=9,
            bbox={"facecolor": ALARM, "edgecolor": "none", "pad": 4},
        )


def nothing(panel: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", color=MUTED)


def bar_axes(panel: Axes, labels: Sequence[str], reach: float) -> None:
    """Name horizontal bars at 0, 1, …, the first on top, on an axis that ends at `reach`."""
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.set_xlim(0, reach)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.grid(visible=False, axis="y")
    panel.tick_params(axis="y", length=0)


def plain(value: float) -> str:
    """Return a number for a tick, in thousands (k) and millions (M) where it is large."""
    for scale, unit in ((1e6, " M"), (1e3, " k")):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Make axis `which` ("x" or "y") logarithmic from `low` to `high`, with plain numbers.

    All digits are ticks up to half a decade, 1-2-5 up to one and a half, 1-3 up to two and a half,
    decades beyond.
    """
    decades = math.log10(high / low)
    steps = next(
        steps
        for most, steps in (
            (0.5, tuple(range(1, 10))),
            (1.6, (1, 2, 5)),
            (2.6, (1, 3)),
            (math.inf, (1,)),
        )
        if decades <= most
    )
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        axis: Axis = axes.xaxis
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axis = axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
