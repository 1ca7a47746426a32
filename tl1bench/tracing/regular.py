"""What is kept of a table must fill a tensor: every row that is left is as long as the others.

A tensor (heads, dims) can lose whole heads, and as many dims from each head that is left, not the
same ones: their order inside each head is all that counts. Where a position along one axis means
the same for all rows, as behind a product with one number a dim, the same ones must go.
"""

from __future__ import annotations

import numpy as np

from tl1bench.tracing.channels import Bools, Ints


def missing(ids: Ints, kept: Bools) -> Ints:
    """Return the labels that make every row that has something left as long as the longest.

    Parameters
    ----------
    ids
        The labels of a table.
    kept
        Which of its entries stay, of the same shape.

    Returns
    -------
    ndarray
        Labels of entries that are gone: one for each row that is missing, inside out.
    """
    found = [np.empty(0, dtype=np.int64)]
    for level in range(1, ids.ndim):
        rows = int(np.prod(ids.shape[:level]))
        alive = np.asarray(kept.reshape(rows, ids.shape[level], -1).any(axis=2))
        names = ids.reshape(rows, ids.shape[level], -1)[:, :, 0]
        counts = alive.sum(axis=1)
        for row in np.flatnonzero((counts > 0) & (counts < counts.max())):
            spare = np.flatnonzero(~alive[row])[: counts.max() - counts[row]]
            found.append(names[row, spare])
    return np.concatenate(found)


def product(kept: Bools) -> Bools:
    """Return what is kept, and what must be besides so that all rows keep the same places."""
    whole = np.ones(kept.shape, dtype=bool)
    for axis in range(kept.ndim):
        others = tuple(a for a in range(kept.ndim) if a != axis)
        shape = [1] * kept.ndim
        shape[axis] = -1
        whole &= kept.any(axis=others).reshape(shape)
    return whole


def extents(kept: Bools) -> tuple[int, ...]:
    """Return the sizes of the tensor that holds what is kept: of each level, of the first row."""
    found: list[int] = []
    while kept.ndim:
        alive = np.asarray(kept.reshape(len(kept), -1).any(axis=1))
        found.append(int(alive.sum()))
        kept = kept[int(alive.argmax())]
    return tuple(found)
