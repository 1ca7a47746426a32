"""Masks of attention that have numbers of their own for heads: those of a head go with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Table
from tl1bench.tracing.factors import Axes, levels
from tl1bench.tracing.rules._contraction import Side
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class HeadMask:
    """A mask whose axis `dim` tells apart the heads of `level` among so many `lead` ones.

    `places` are the labels of its heads; `side` is what is known of a mask that depends on an
    input, None for a known tensor.
    """

    node: fx.Node
    dim: int
    level: int
    lead: int
    places: Ints
    side: Side | None

    def wanted(self, ids: Ints, keep: Bools) -> list[Ints]:
        """Return labels that make a known mask and the heads keep the same places.

        Parameters
        ----------
        ids
            Labels of the values that come out, heads first.
        keep
            (label,) which stay so far.

        Returns
        -------
        list of labels
            Among them such as stay already.
        """
        rows = np.asarray(keep[ids].any(axis=-1))
        if not rows.any() or self.side is not None:
            return []
        others = tuple(a for a in range(self.lead) if a != self.level)
        alive = np.asarray(rows.any(axis=others)) | keep[self.places]
        shape = [1] * self.lead
        shape[self.level] = len(alive)
        return [self.places[alive], ids[..., 0][~rows & alive.reshape(shape)]]

    def slots(self) -> list[Slot]:
        """Return where a known mask is laid out by heads."""
        return [] if self.side is not None else [Slot(self.node, self.dim, self.places, "")]

    def written(self, out: Emitter) -> fx.Node | None:
        """Write what is left of the mask."""
        if self.side is not None:
            return out.value(self.node)
        kept = np.flatnonzero(out.keep[self.places])
        return out.tensor(self.node, out.sliced(self.node, {self.dim: kept}))


def told_apart(mask: fx.Node, axes: Axes) -> list[tuple[int, int]]:
    """Return (dimension of a mask, level of the scores) wherever it tells heads apart."""
    shape, heads = mask.meta["val"].shape, levels(axes)
    pairs = zip(range(len(shape))[::-1], axes[::-1], strict=False)
    return [
        (dim, heads.index(own[0]))
        for dim, own in pairs if shape[dim] != 1 and any(f.channel for f in own)
    ]  # fmt: skip


def head_mask(mask: fx.Node, axes: Axes, state: Analysis) -> HeadMask | None:
    """Return a mask that tells heads apart along one axis; None where its channels do not fit.

    Parameters
    ----------
    mask
        A tensor that is laid over the scores from the last axis on.
    axes
        Of the scores.
    state
        The passes over the network.

    Returns
    -------
    HeadMask or None
        How heads lie in it.
    """
    told, count = told_apart(mask, axes), len(levels(axes))
    if len(told) != 1:
        return None
    dim, level = told[0]
    heads = levels(axes)[level]
    if (heads,) not in axes or mask.meta["val"].shape[dim] != heads.size:
        return None
    if state.tensor(mask) is not None:
        places = state.channels.fresh(heads.size)
        return HeadMask(mask, dim, level, count, places, None)
    known = state.table(mask)
    if known is None or not _is_by_head(known, dim, heads.size):
        return None
    shape = tuple(known.ids.size if i == level else 1 for i in range(count))
    return HeadMask(mask, dim, level, count, known.ids, Side(known, (*shape, 1), count))


def _is_by_head(known: Table, dim: int, heads: int) -> bool:
    """Whether channels lie along one axis alone, and are as many as the heads."""
    own = known.axes[dim]
    return known.ids.shape == (heads,) and len(own) == 1 and own[0].channel
