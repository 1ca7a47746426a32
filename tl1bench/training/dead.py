"""Which units feed nothing, and which of them leave: the exact criterion of compaction in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tl1bench.neurons import Units
from tl1bench.training.slicing import Axis


def leaving(units: Sequence[Units], tensors: Mapping[str, Tensor], align: int = 1) -> list[Tensor]:
    """Mark the units that are to be cut out: those that nothing reads.

    Parameters
    ----------
    units
        Families of units.
    tensors
        Parameters and buffers by name.
    align
        The first dead units of a family stay, as many as make its count a multiple of this; all of
        them where they are too few.

    Returns
    -------
    list of Tensor
        (count,) of booleans on the CPU for each family.
    """
    found = dead(units, tensors)
    for mask in found:
        alive = int((~mask).sum())
        mask[mask.nonzero().reshape(-1)[: -alive % align]] = False
    return found


def absent(units: Sequence[Units], kept: Mapping[Axis, Tensor]) -> list[Tensor]:
    """Mark the units of a whole network that have no place among the positions that are left.

    Parameters
    ----------
    units
        Families of units.
    kept
        Positions by sliced axis, as in `Shrunk`.

    Returns
    -------
    list of Tensor
        (count,) of booleans on the CPU for each family.
    """
    found = []
    for family in units:
        mask = torch.zeros(family.count, dtype=torch.bool)
        for piece in (*family.produced, *family.consumed):
            left = kept.get((piece.tensor, piece.dim))
            if left is not None and family.removable:
                mask |= ~torch.isin(piece.index[:, 0], left)
        found.append(mask)
    return found


def dead(units: Sequence[Units], tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """Mark units all of whose outgoing weights are zero, once the dead rows are gone.

    Parameters
    ----------
    units
        Families of units; one unit of each is left alive.
    tensors
        Parameters and buffers by name.

    Returns
    -------
    list of Tensor
        (count,) of booleans on the CPU for each family.
    """
    marks = {
        piece.tensor: tensors[piece.tensor].detach() != 0 for u in units for piece in u.consumed
    }
    found = [torch.zeros(u.count, dtype=torch.bool) for u in units]
    changed = True
    while changed:
        changed = False
        for family, known in zip(units, found, strict=True):
            made = {(piece.tensor, piece.dim) for piece in family.produced}
            # A depthwise filter is inside the unit: it reads the unit only to make it.
            readers = [s for s in family.consumed if (s.tensor, s.dim) not in made]
            if not family.removable or not readers:
                continue
            unread = torch.ones(family.count, dtype=torch.bool)
            for piece in readers:
                rows = marks[piece.tensor].movedim(piece.dim, 0)
                rows = rows.reshape(rows.shape[0], -1).any(dim=1).cpu()
                unread &= ~rows[piece.index].any(dim=1)
            if unread.all():
                unread[0] = False
            new = unread & ~known
            if new.any():
                changed = True
                known |= new
                for piece in family.produced:
                    if piece.tensor in marks:
                        index = piece.index[known].reshape(-1)
                        marks[piece.tensor].index_fill_(
                            piece.dim, index.to(marks[piece.tensor].device), False
                        )
    return found
