"""Two tensors multiplied and summed over axes that they share: which of their channels meet.

Every axis has a letter, as in an einsum. Channels along axes that both operands and the result have
(heads) are `lead`; then come those that are summed over (dims of queries and keys), or those of one
operand alone (dims of values).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Floats, Ints, Table, table
from tl1bench.tracing.factors import Axes, Axis, kinds, renamed


@dataclass(frozen=True, eq=False)
class Side:
    """One tensor of a contraction: `shape` are its levels, 1 for a leading one it does not have."""

    table: Table
    shape: tuple[int, ...]
    lead: int

    @property
    def ids(self) -> Ints:
        """Labels, leading levels first."""
        return self.table.ids.reshape(self.shape)

    @property
    def const(self) -> Floats:
        """Constants, leading levels first."""
        return self.table.const.reshape(self.shape)

    def use(self, mask: Bools) -> None:
        """Mark channels as used; a mask that tells more of them apart counts where any is set."""
        over = tuple(a for a, (own, n) in enumerate(zip(self.shape, mask.shape, strict=True))
                     if own == 1 and n > 1)  # fmt: skip
        self.table.use(
            np.asarray(mask.any(axis=over) if over else mask).reshape(self.table.ids.shape)
        )

    def rows(self, keep: Bools) -> Bools:
        """Return which rows of the leading levels have something left."""
        kept = keep[self.ids]
        some: Bools = np.asarray(kept.reshape(*self.shape[: self.lead], -1).any(axis=-1))
        return some

    def first(self) -> Ints:
        """Return the label of the first channel of every row."""
        return np.asarray(self.ids.reshape(*self.shape[: self.lead], -1)[..., 0])


@dataclass(frozen=True, eq=False)
class Contraction:
    """Two operands and the axes of the result; `summed`: channels are, `owner`: whose stay."""

    sides: tuple[Side, Side]
    axes: Axes
    lead: tuple[int, ...]
    summed: bool
    owner: int | None


def contraction(tables: tuple[Table, Table], letters: tuple[str, str, str]) -> Contraction | None:
    """Lay two operands over each other; None where their channels do not meet in a known way.

    Parameters
    ----------
    tables
        Their channels.
    letters
        One for every axis, of the operands and of the result.

    Returns
    -------
    Contraction or None
        How they meet.
    """
    places: list[dict[str, Axis]] = [
        dict(zip(name, t.axes, strict=True)) for name, t in zip(letters, tables, strict=False)
    ]
    axes: dict[str, Axis] = {}
    for letter in dict.fromkeys(letters[0] + letters[1]):
        own = [place[letter] for place in places if place.get(letter)]
        if len({kinds(axis) for axis in own}) > 1:
            return None
        axes[letter] = own[0] if own else ()
    with_channels = [c for c in axes if any(f.channel for f in axes[c])]
    common = set(letters[0]) & set(letters[1])
    lead = [c for c in letters[2] if c in common and c in with_channels]
    summed = [c for c in with_channels if c in common and c not in letters[2]]
    alone = [[c for c in name if c in with_channels and c not in common] for name in letters[:2]]
    if len(summed) > 1 or sum(map(len, (summed, *alone))) > 1:
        return None
    if any(not place.get(c) for c in summed for place in places):
        return None
    if any(c not in letters[2] for c in alone[0] + alone[1]):
        return None
    sides = []
    for name, known, place, lone in zip(letters, tables, places, alone, strict=False):
        wanted = [c for c in lead if place[c]] + summed + lone
        if [c for c in name if c in wanted] != wanted:
            return None
        shape = [_count(place[c]) for c in lead + summed + lone]
        shape += [1] * (len(lead) + len(summed + alone[0] + alone[1]) - len(shape))
        sides.append(Side(known, tuple(shape), len(lead)))
    if [c for c in letters[2] if c in with_channels] != lead + alone[0] + alone[1]:
        return None
    return Contraction(
        (sides[0], sides[1]),
        renamed(tuple(axes[c] for c in letters[2])),
        tuple(_count(axes[c]) for c in lead),
        bool(summed),
        next((i for i in (0, 1) if alone[i]), None),
    )


def whole(known: Table, state: Analysis) -> Table:
    """Return a table with positions in the place of all channels, of one label that stays.

    Parameters
    ----------
    known
        Channels of an operand.
    state
        The passes over the network.

    Returns
    -------
    Table
        What the operand is to a call that reads it whole.
    """
    axes = tuple(
        tuple(replace(f, channel=False) for f in axis if f.size > 1) for axis in known.axes
    )
    label = state.channels.fresh(1).reshape(())
    state.channels.force(label.reshape(-1), "read whole")
    return table(axes, label)


def first_to_stay(tables: Sequence[Table], state: Analysis) -> list[Table]:
    """Return operands in the order in which they may be read whole: what stays anyhow, the fewest.

    Parameters
    ----------
    tables
        Their channels.
    state
        The passes over the network.

    Returns
    -------
    list of Table
        The same.
    """
    return sorted(
        tables, key=lambda t: (not state.channels.all_forced(t.ids.reshape(-1)), t.ids.size)
    )


def _count(axis: Axis) -> int:
    return next((f.size for f in axis if f.channel), 1)


def agree(sides: Sequence[Side], keep: Bools, reason: str) -> Iterator[tuple[Ints, str]]:
    """Yield labels that make all tensors of a product have the same rows left, if any has.

    Parameters
    ----------
    sides
        The operands and the result, which comes last.
    keep
        (label,) which channels stay so far.
    reason
        Why, for the report.

    Yields
    ------
    labels, reason
        The first channel of every row that is missing.
    """
    rows = [side.rows(keep) for side in sides]
    if not rows[-1].any():
        return
    wide = np.broadcast_shapes(*(own.shape for own in rows))
    union = np.zeros(wide, dtype=bool)
    for own in rows:
        union |= own
    for side, own in zip(sides, rows, strict=True):
        over = tuple(a for a, n in enumerate(own.shape) if n == 1 and wide[a] > 1)
        wanted = union.any(axis=over, keepdims=True) if over else union
        missing = np.asarray(wanted & ~own)
        if missing.any():
            yield side.first()[missing], reason
