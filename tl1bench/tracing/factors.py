"""The axes of a tensor as products of factors: what a view splits or merges and a permute moves.

(3 × heads × dims) of a fused projection, (channels × height × width) of a linear layer viewed as a
map, (batch × windows) of shifted windows: an axis is a sequence of factors, the slowest first. A
view cuts the sequence of all factors at other places and splits some of them in two; a permute
moves whole axes; no number is touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.tracing.free import is_free


@dataclass(frozen=True)
class Factor:
    """`size` numbers along an axis: of channels, or of positions (samples among them).

    Sorted by `key`, factors are in the order of the tensor that was split first.
    """

    size: int
    channel: bool
    key: tuple[int, ...]

    @property
    def batch(self) -> bool:
        """Whether samples lie along it, or anything else of a free size."""
        return is_free(self.size)

    def split(self, outer: int) -> tuple[Factor, Factor]:
        """Return the two factors whose product it is, the first of size `outer`."""
        inner = self.size // outer
        return (
            Factor(outer, self.channel, (*self.key, 0)),
            Factor(inner, self.channel, (*self.key, 1)),
        )


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


def single(shape: Sequence[int], channels: int) -> Axes:
    """Return the axes of a tensor of which one, `channels`, is laid out by channel.

    Parameters
    ----------
    shape
        Its sizes, numbers of `stand_in` for free ones.
    channels
        Where the channels lie.

    Returns
    -------
    tuple of tuple of Factor
        One factor an axis; none where there is but one position.
    """
    return tuple(
        (Factor(size, axis == channels, (axis,)),) if size != 1 or axis == channels else ()
        for axis, size in enumerate(shape)
    )


def levels(axes: Axes) -> list[Factor]:
    """Return the factors of channels in the order in which they lie."""
    return [f for axis in axes for f in axis if f.channel]


def size_of(axis: Axis) -> int:
    """Return how many numbers lie along an axis."""
    return math.prod(f.size for f in axis)


def kinds(axis: Axis) -> tuple[tuple[int, bool], ...]:
    """Return size and kind of what lies along an axis; of positions alone their product."""
    if any(f.channel or f.batch for f in axis):
        return tuple((f.size, f.channel) for f in axis)
    return ((size_of(axis), False),)


def viewed(axes: Axes, sizes: Sequence[int]) -> Axes | None:
    """Return the axes after a view; None where a factor would have to be cut across.

    Parameters
    ----------
    axes
        Before.
    sizes
        After, numbers of `stand_in` for free ones.

    Returns
    -------
    tuple of tuple of Factor or None
        The same factors, some of them split.
    """
    if 0 in sizes:
        return None
    waiting = [f for axis in axes for f in axis][::-1]
    found: list[Axis] = []
    for place, wanted in enumerate(sizes):
        axis: list[Factor] = []
        takes_single = wanted == 1 or place == len(sizes) - 1
        while waiting and (
            size_of(tuple(axis)) < wanted or (takes_single and waiting[-1].size == 1)
        ):
            factor, missing = waiting.pop(), wanted // size_of(tuple(axis))
            if factor.size > missing:
                if factor.size % missing:
                    return None
                factor, rest = factor.split(missing)
                waiting.append(rest)
            axis.append(factor)
        if size_of(tuple(axis)) != wanted:
            return None
        found.append(tuple(axis))
    return None if waiting else tuple(found)


def renamed(axes: Axes) -> Axes:
    """Return the same axes with keys in the order in which the factors lie now."""
    keys = iter(range(sum(len(axis) for axis in axes)))
    return tuple(tuple(Factor(f.size, f.channel, (next(keys),)) for f in axis) for axis in axes)


def settled(axes: Axes, table: NDArray[Any]) -> tuple[Axes, NDArray[Any]] | None:
    """Merge what lies along each axis into one factor of channels, entries repeated where needed.

    An axis with a free size in it keeps its factors. None where positions lie between two factors
    of channels of one axis, or a free size beside two of them.

    Parameters
    ----------
    axes
        How the channels lie.
    table
        A dimension for every factor of channels, in the order in which they lie.

    Returns
    -------
    tuple of axes and table, or None
        The axes, and the table with a dimension for every axis that has channels.
    """
    found: list[Axis] = []
    for axis in axes:
        kinds = [f.channel for f in axis]
        count, at = sum(kinds), sum(len(levels((done,))) for done in found)
        if not count:
            found.append(axis)
            continue
        first = kinds.index(True)
        if not all(kinds[first : first + count]):
            return None
        wide = math.prod(f.size for f in axis[first : first + count])
        table = table.reshape(*table.shape[:at], wide, *table.shape[at + count :])
        merged = Factor(wide, True, axis[first].key)
        if any(f.batch for f in axis):
            found.append((*axis[:first], merged, *axis[first + count :]))
            continue
        outer, inner = size_of(axis[:first]), size_of(axis[first + count :])
        table = table.repeat(inner, axis=at)
        table = np.concatenate([table] * outer, axis=at) if outer > 1 else table
        found.append((Factor(outer * wide * inner, True, merged.key),))
    return tuple(found), table


def lone_axis(axes: Axes) -> int | None:
    """Return the only axis along which channels lie, if it holds nothing else; None otherwise."""
    own = [place for place, axis in enumerate(axes) if any(f.channel for f in axis)]
    return own[0] if len(own) == 1 and len(axes[own[0]]) == 1 else None
