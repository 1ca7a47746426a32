"""A table of channels as a reader sees it that tells fewer of them apart."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tl1bench.tracing.channels import Channels, Ints, Known, Table, flow, table
from tl1bench.tracing.factors import Axes, levels


@dataclass(frozen=True, eq=False)
class Condensed:
    """What a reader that wants fewer axes sees of a table: `members` (…, rest) lie in it."""

    flow: Known
    members: Ints


def along(known: Table, axis: int, channels: Channels) -> Condensed | None:
    """Tie all that has one place along an axis; None where no channels lie there, or samples too.

    Parameters
    ----------
    known
        A table.
    axis
        Along which the channels of the result lie.
    channels
        Of the network.

    Returns
    -------
    Condensed or None
        A flow.
    """
    own = known.axes[axis]
    pinned = channels.all_forced(known.ids.reshape(-1))
    if pinned or len(own) != 1 or not own[0].channel:
        return None
    level = levels(known.axes).index(own[0])
    places = np.arange(known.ids.size).reshape(known.ids.shape)
    members = np.moveaxis(places, level, 0).reshape(own[0].size, -1)
    ids, const = known.ids.reshape(-1)[members], known.const.reshape(-1)[members]
    for place in range(1, members.shape[1]):
        channels.tie(ids[:, 0], ids[:, place])
    same = (const == const[:, :1]).all(axis=1)
    return Condensed(flow(axis, ids[:, 0], np.where(same, const[:, 0], np.nan)), members)


def rows(known: Table, channels: Channels) -> Condensed:
    """Tie the places of every row of the last level, which are positions from here on.

    Parameters
    ----------
    known
        A table for which `without_places` says that there are rows.
    channels
        Of the network.

    Returns
    -------
    Condensed
        A table with a channel for every row.
    """
    axes = without_places(known)
    assert axes is not None
    tie_along(known.ids, known.ids.ndim - 1, channels)
    same = (known.const == known.const[..., :1]).all(axis=-1)
    const = np.where(same, known.const[..., 0], np.nan)
    members = np.arange(known.ids.size).reshape(known.ids.shape)
    return Condensed(table(axes, known.ids[..., 0], const), members)


def without_places(known: Table) -> Axes | None:
    """Return the axes with positions in the place of the last level; None where it has no rows."""
    if known.ids.ndim < 2 or (levels(known.axes)[-1],) not in known.axes:
        return None
    last = levels(known.axes)[-1]
    own = (replace(last, channel=False),) if last.size > 1 else ()
    return tuple(own if axis == (last,) else axis for axis in known.axes)


def tie_along(ids: Ints, level: int, channels: Channels) -> None:
    """Let all labels along a level live or die together.

    Parameters
    ----------
    ids
        A dimension for every level.
    level
        Which one.
    channels
        Of the network.
    """
    first = ids.take(0, axis=level).reshape(-1)
    for place in range(1, ids.shape[level]):
        channels.tie(first, ids.take(place, axis=level).reshape(-1))
