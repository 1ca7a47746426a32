"""Channels that stay only because the form of an operation asks for them."""

from __future__ import annotations

import numpy as np

from tl1bench.tracing.channels import Bools, Floats, Flow, Ints


def choose_representative(source: Flow, kept: Bools, read: Bools) -> int | None:
    """Return the constant channel that stands for all `read` that are dropped (None: no need).

    A kept channel serves when its constant is large enough to divide by; otherwise the largest.
    """
    constant = read & ~source.live & (source.const != 0)
    dropped = constant & ~kept
    if not dropped.any():
        return None
    size = np.where(~source.live, np.abs(np.nan_to_num(source.const)), 0.0)
    largest = largest_of(dropped, size)
    able = np.where(kept & source.used, size, 0.0)
    best = int(np.argmax(able))
    return best if able[best] >= 1e-3 * size[largest] else largest


def largest_of(dropped: Bools, size: Floats) -> int:
    """Return the dropped constant whose magnitude is largest."""
    return int(np.argmax(np.where(dropped, size, 0.0)))


def goal(kept: Bools) -> int:
    """Return how many channels each group keeps: as many as the one with most, and at least one."""
    return max(1, int(kept.sum(axis=1).max()))


def groups_alive(inside: Bools, outside: Bools, groups: int, whole: bool) -> Bools:
    """Mark the groups that are written: those with an output left; if `whole`, or an input.

    Parameters
    ----------
    inside, outside
        (channel,) which inputs and outputs stay.
    groups
        How many there are.
    whole
        Whether all inputs that stay must be read, as where several calls share the weights.

    Returns
    -------
    ndarray
        (group,).
    """
    marked = outside.reshape(groups, -1).any(axis=1)
    if whole:
        marked = marked | inside.reshape(groups, -1).any(axis=1)
    return np.asarray(marked)


def equalise(ids: Ints, kept: Bools, alive: Bools) -> list[Ints]:
    """Return labels that bring every group that is alive to the same number of channels.

    Parameters
    ----------
    ids
        (channel,) labels of one side of a layer.
    kept
        (channel,) which stay so far.
    alive
        (group,) which groups are written.

    Returns
    -------
    list of labels
        One entry a group.
    """
    rows, names = kept.reshape(len(alive), -1)[alive], ids.reshape(len(alive), -1)[alive]
    added: list[Ints] = []
    for own, name in zip(rows, names, strict=True):
        spare = np.flatnonzero(~own)[: goal(rows) - int(own.sum())]
        added.append(name[spare])
    return added
