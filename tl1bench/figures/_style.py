"""How figures look: one dict of settings, one colour and marker a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from tl1bench.results.printed import display

INK, MUTED, FAINT, ALARM = "#1b1b1b", "#6b6b6b", "#d9d9d9", "#b00020"

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 5,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "tl1bench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "savefig.bbox": None,
    # Names of problems and files may hold dollars: they are no formulas.
    "text.parse_math": False,
    "text.usetex": False,
}

WIDTH = 7.2  # inches: two columns of a journal page, or a phone's width when scaled


@dataclass(frozen=True)
class Look:
    """What one method looks like in every figure."""

    color: str
    marker: str
    label: str
    weight: float = 1.3


# Okabe and Ito (2008), told apart under the common kinds of colour blindness; integrated TL1 has
# the strongest of them. The spare ones are from Tol's muted scheme.
_FIXED = {
    "dense": ("#4d4d4d", "s"),
    "l1": ("#E69F00", "^"),
    "group_lasso": ("#56B4E9", "v"),
    "sparse_group_lasso": ("#009E73", "D"),
    "tl1": ("#CC79A7", "P"),
    "integrated_tl1": ("#D55E00", "o"),
}
_SPARE = tuple(
    (color, marker)
    for marker, color in product(
        ("X", "<", ">", "h", "p", "*"),
        ("#0072B2", "#882255", "#999933", "#332288", "#44AA99", "#AA4499"),
    )
)


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Return the look of each method; those without one of their own get spare ones in order.

    Spare looks repeat after 36 methods.
    """
    unknown = [m for m in methods if m not in _FIXED]
    spare = {m: _SPARE[i % len(_SPARE)] for i, m in enumerate(unknown)}
    return {
        m: Look(*{**_FIXED, **spare}[m], display(m), 2.2 if m == "integrated_tl1" else 1.3)
        for m in methods
    }
