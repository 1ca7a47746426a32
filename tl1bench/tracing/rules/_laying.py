"""How tensors with channels along several axes lie over each other in a sum or product."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Table
from tl1bench.tracing.condensed import tie_along
from tl1bench.tracing.factors import Axes, Axis, Factor, kinds, levels, renamed, size_of
from tl1bench.tracing.graph import op_name, stand_ins
from tl1bench.tracing.rules._contraction import Side, first_to_stay, whole


@dataclass(frozen=True, eq=False)
class Fixed:
    """Axis `dim` of a known `operand` tells places of a level apart, the same ones in all rows.

    `places` are their labels: one stays if any row has it, and then all rows that are left do.
    """

    operand: fx.Node
    dim: int
    level: int
    places: Ints

    def wanted(self, ids: Ints, keep: Bools) -> list[Ints]:
        """Return the labels of places and of entries of rows that must stay besides.

        Parameters
        ----------
        ids
            The labels of the table, a dimension a level.
        keep
            (label,) which stay so far.

        Returns
        -------
        list of labels
            Among them such as stay already.
        """
        kept = keep[ids]
        alive = np.asarray(kept.any(axis=_but(self.level, kept.ndim))) | keep[self.places]
        shape = [1] * kept.ndim
        shape[self.level] = len(alive)
        rows = kept.any(axis=self.level, keepdims=True)
        return [self.places[alive], ids[rows & alive.reshape(shape)]]


@dataclass(frozen=True, eq=False)
class Laid:
    """Operands laid over each other: a `Side` for what depends on the input, None for a tensor."""

    sides: tuple[Side | None, ...]
    axes: Axes
    fixed: tuple[Fixed, ...]


def operands_of(node: fx.Node) -> list[fx.Node]:
    """Return the operands of a call, in order."""
    return [operand for operand in node.args if isinstance(operand, fx.Node)]


def _but(level: int, count: int) -> tuple[int, ...]:
    return tuple(a for a in range(count) if a != level)


def lay(node: fx.Node, state: Analysis) -> Laid | None:
    """Lay the axes of both operands over each other from the last one on.

    Where channels of one meet positions of the other, as those of a mask that says of each position
    whether it counts, one operand is read whole.
    """
    tables: list[Table | None] = []
    for operand in operands_of(node):
        known = None if state.tensor(operand) is not None else state.table(operand)
        if known is None and state.tensor(operand) is None:
            return None
        tables.append(known)
    found, own = _laid(node, tables, state), [t for t in tables if t is not None]
    if found is not None or len(own) != 2:
        return found
    found = _beside_positions(node, tables, state)
    if found is not None:
        return found
    for known in first_to_stay(own, state):
        read = [whole(t, state) if t is known else t for t in tables]
        found = _laid(node, read, state)
        if found is not None:
            state.pin(operands_of(node)[tables.index(known)], f"read whole by {op_name(node)}")
            return found
    return None


def _beside_positions(node: fx.Node, tables: list[Table | None], state: Analysis) -> Laid | None:
    """Lay channels over numbers of positions, such as the cosines that turn the dims of all heads.

    A row keeps all of its places or none, so that nothing is cut out of these numbers.
    """
    ndim = node.meta["val"].dim()
    for place, known in enumerate(tables):
        other = tables[1 - place] if len(tables) == 2 else None
        if known is None or other is None or other.ids.ndim < 2:
            continue
        ahead = ndim - len(other.axes)
        own = ((),) * (ndim - len(known.axes)) + known.axes
        met = [other.axes[axis - ahead] if axis >= ahead else () for axis in range(ndim)]
        tied = [b[0] for a, b in zip(own, met, strict=True)
                if len(b) == 1 and b[0].channel and kinds(a) == ((b[0].size, False),)]  # fmt: skip
        axes = tuple(() if b and b[0] in tied else a for a, b in zip(own, met, strict=True))
        read = [replace(known, axes=axes) if t is known else t for t in tables]
        found = _laid(node, read, state) if 0 < len(tied) < other.ids.ndim else None
        if found is None:
            continue
        for factor in tied:
            tie_along(other.ids, levels(other.axes).index(factor), state.channels)
        return found
    return None


def _laid(node: fx.Node, tables: list[Table | None], state: Analysis) -> Laid | None:
    ndim, operands = node.meta["val"].dim(), operands_of(node)
    padded = [None if t is None else ((),) * (ndim - len(t.axes)) + t.axes for t in tables]
    axes = _joined([p for p in padded if p is not None], ndim)
    sizes = stand_ins(node)
    if axes is None or any(a and size_of(a) != n for a, n in zip(axes, sizes, strict=True)):
        return None
    # A known operand may be all that has more than one position along an axis.
    axes = tuple(
        axis or ((Factor(n, False, ()),) if n != 1 else ())
        for axis, n in zip(axes, sizes, strict=True)
    )
    sides: list[Side | None] = []
    for known, own in zip(tables, padded, strict=True):
        if known is None or own is None:
            sides.append(None)
            continue
        shape = tuple(
            next((f.size for f in mine if f.channel), 1)
            for mine, axis in zip(own, axes, strict=True) if any(f.channel for f in axis)
        )  # fmt: skip
        sides.append(Side(known, shape, len(shape)))
    full = tuple(f.size for f in levels(axes))
    if not any(side is not None and side.shape == full for side in sides):
        return None
    fixed = [
        Fixed(operand, dim, level, state.channels.fresh(full[level]))
        for operand in operands
        if len(full) > 1 and (tensor := state.tensor(operand)) is not None
        for level, dim in own_dims(tensor, axes)
    ]
    return Laid(tuple(sides), renamed(axes), tuple(fixed))


def _joined(operands: list[Axes], ndim: int) -> Axes | None:
    """Return the axes of the result; None where factors do not fit."""
    found: list[Axis] = []
    for place in range(ndim):
        own = [axes[place] for axes in operands if axes[place]]
        wide = [axis for axis in own if [f.size for f in axis] != [1]] or own
        if len({kinds(axis) for axis in wide}) > 1:
            return None
        if any(not f.channel for axis in own for f in axis) != any(
            not f.channel for axis in wide for f in axis
        ):
            return None
        found.append(wide[0] if wide else ())
    return tuple(found)


def own_dims(tensor: Tensor, axes: Axes) -> list[tuple[int, int]]:
    """Return (level, dimension) wherever a known tensor tells channels of an axis apart."""
    found, level = [], 0
    for place, axis in enumerate(axes):
        dim = place - len(axes) + tensor.dim()
        if any(f.channel for f in axis):
            if dim >= 0 and tensor.shape[dim] > 1:
                found.append((level, dim))
            level += 1
    return found
