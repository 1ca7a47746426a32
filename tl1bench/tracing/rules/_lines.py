"""Constants in front of a LayerNorm: behind it they are one channel, each scaled and shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.site import Site

_KEEPING = (
    "mean",
    "select",
    "slice",
    "permute",
    "transpose",
    "dropout",
    "clone",
    "contiguous",
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
)
"""What picks, moves or averages positions."""


@dataclass(frozen=True, eq=False)
class Lines:
    """y_j = ratio_j · y_first + rest_j for every channel j that is marked in `members`."""

    members: Bools
    first: int
    ratio: Floats
    rest: Floats

    def instead(self, read: Bools) -> Bools:
        """Return what is read where `first` stands for the members."""
        left: Bools = read & ~self.members
        left[self.first] |= bool((read & self.members).any())
        return left


@dataclass(frozen=True, eq=False)
class Centred:
    """The channels that are normalised together, the known vectors by name, and the lines."""

    source: Flow
    vectors: dict[str, fx.Node]
    lines: Lines | None


def found_lines(const: Floats, scale: Floats, shift: Floats) -> Lines | None:
    """Return the lines behind a LayerNorm: of the constant that most channels are.

    Parameters
    ----------
    const
        (channel,) constants in front of it, NaN where live.
    scale, shift
        (channel,) its γ and β.

    Returns
    -------
    Lines or None
        None where fewer than two channels are the same constant, or nothing varies.
    """
    values, counts = np.unique(const[~np.isnan(const) & (scale != 0)], return_counts=True)
    if not np.isnan(const).any() or counts.max(initial=0) < 2:
        return None
    members = (const == values[counts.argmax()]) & (scale != 0)
    size = np.where(members, np.abs(scale), 0.0)
    # Not the largest but the foremost large one: all norms along a stream shall keep the same.
    first = int(np.argmax(size >= 0.1 * size.max()))
    members[first] = False
    ratio = scale / scale[first]
    return Lines(members, first, ratio, shift - ratio * shift[first])


def lines_of(site: Site, state: Analysis) -> Lines | None:
    """Return the lines that a layer reads and can fold into the first; None where there are none.

    Parameters
    ----------
    site
        The layer.
    state
        The passes over the network.

    Returns
    -------
    Lines or None
        Of the LayerNorm in front of it, with nothing between but what keeps them.
    """
    node, read = site.source, state.flows.get(site.source)
    while op_name(node) in _KEEPING and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    found, behind = state.plan(node, Centred), state.flows.get(node)
    if found is None or behind is None or read is None:
        return None
    if site.shared or site.border or site.groups > 1 or read.axis != site.axis:
        return None
    return found.lines if np.array_equal(read.ids, behind.ids) else None
