"""Channels that stay only because the form of an operation asks for them."""

from __future__ import annotations

import numpy as np

from tl1bench.tracing.channels import Bools, Floats, Flow, Ints


def choose_representative(source: Flow, kept: Bools) -> int | None:
    """Return the constant channel that stands for all used ones that are dropped (None: no need).

    A kept channel serves when its constant is large enough to divide by; otherwise the largest.
    """
    constant = source.used & ~source.live & (source.const != 0)
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


def equalise(in_ids: Ints, inside: Bools, out_ids: Ints, outside: Bools, groups: int) -> list[Ints]:
    """Labels that bring every group with something left to the same number of channels."""
    sides = [(in_ids.reshape(groups, -1), inside.reshape(groups, -1).copy()),
             (out_ids.reshape(groups, -1), outside.reshape(groups, -1).copy())]  # fmt: skip
    alive = sides[0][1].any(axis=1) | sides[1][1].any(axis=1)
    added: list[Ints] = []
    for ids, kept in sides:
        for group in np.flatnonzero(alive):
            spare = np.flatnonzero(~kept[group])[: goal(kept) - int(kept[group].sum())]
            added.append(ids[group][spare])
    return added
