"""Parts that several figures share: a grid of panels, a legend outside, readable log ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from tl1bench.figures.style import ALARM, WIDTH, Look


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
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """Return `value` with three significant digits and no exponent, such as 0.0123 or 18,300."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"


def signed(value: float) -> str:
    """Return `value` with its sign and two decimals; what rounds to zero has none."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")
