"""What is known of every channel of every tensor: its class, its constant, whether it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from tl1bench.tracing.factors import Axes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the channels of one tensor.

    `ids` is the label of each channel, `const` its value where every sample and position holds the
    same number and NaN where it is live, `used` whether the network's result depends on it (filled
    in by the backward pass): three arrays of one shape.
    """

    ids: Ints
    const: Floats
    used: Bools

    @property
    def live(self) -> Bools:
        """Channels whose value depends on the input or on the position."""
        return np.isnan(self.const)

    def use(self, mask: Bools) -> None:
        """Mark channels as used (in place: the backward pass adds up over consumers)."""
        np.logical_or(self.used, mask, out=self.used)

    @property
    def needed(self) -> Bools:
        """Channels that must be computed: used, and not a constant that can be folded."""
        return self.used & self.live

    def pass_on(self, source: Known) -> None:
        """Use channel i of `source` for channel i of this.

        A constant is computed from its source's constant, which must be exact then; one that is
        the same whatever flows in asks for nothing.
        """
        source.use(self.used & (self.live | ~source.live))


@dataclass(frozen=True, eq=False)
class Flow(Known):
    """The channels of a tensor, laid out along one `axis`: the arrays are (channel,)."""

    axis: int


@dataclass(frozen=True, eq=False)
class Table(Known):
    """The channels of a tensor, laid out along several axes: (heads, dims) of attention.

    The arrays have a dimension for every factor of channels among `axes`, in the order in which
    these lie; an axis has one at most, and nothing beside it but samples and positions. A tensor
    all of whose numbers are one channel has none: shape ().
    """

    axes: Axes


def table(axes: Axes, ids: Ints, const: Floats | None = None) -> Table:
    """Make a table whose channels are all live unless `const` says otherwise, and not yet used.

    Parameters
    ----------
    axes
        How the channels lie.
    ids
        Labels, a dimension for every factor of channels.
    const
        Constants of the same shape, NaN where live; None for all live.

    Returns
    -------
    Table
        Nothing of it used yet.
    """
    ids = np.asarray(ids)
    if const is None:
        const = np.full(ids.shape, np.nan)
    const = np.where(np.isfinite(const), const, np.nan)
    return Table(ids, const, np.zeros(ids.shape, dtype=bool), axes)


def flow(axis: int, ids: Ints, const: Floats | None = None) -> Flow:
    """Make a flow whose channels are all live unless `const` says otherwise, and not yet used.

    Parameters
    ----------
    axis
        Where the channels lie.
    ids
        (channel,) labels.
    const
        (channel,) constants, NaN where live; None for all live.

    Returns
    -------
    Flow
        Nothing of it used yet.
    """
    if const is None:
        const = np.full(len(ids), np.nan)
    # A constant that overflowed is no constant: the network computes it, whatever it is.
    const = np.where(np.isfinite(const), const, np.nan)
    return Flow(ids, const, np.zeros(len(ids), dtype=bool), axis)


class Channels:
    """Labels of channels, those that must live or die together, and those that must live."""

    def __init__(self) -> None:
        self._count = 0
        self._edges: list[tuple[Ints, Ints]] = []
        self._stays: set[int] = set()
        self.forced: dict[str, list[Ints]] = {}
        self.asked: dict[str, list[Ints]] = {}

    def fresh(self, count: int) -> Ints:
        """`count` labels that nobody has."""
        self._count += count
        return np.arange(self._count - count, self._count)

    def tie(self, a: Ints, b: Ints) -> None:
        """Channel a[i] and channel b[i] live or die together, for every i."""
        if a is not b:
            self._edges.append((a, b))

    def force(self, ids: Ints, reason: str) -> None:
        """Make these channels stay, for the `reason` that the report gives."""
        self.forced.setdefault(reason, []).append(ids)
        self._stays.update(ids.tolist())

    def ask(self, ids: Ints, reason: str) -> None:
        """Note for the report that these channels stay for the form of an operation only."""
        self.asked.setdefault(reason, []).append(ids)

    def all_forced(self, ids: Ints) -> bool:
        """Whether every one of `ids` is already known to stay."""
        return self._stays.issuperset(ids.tolist())

    def classes(self) -> Ints:
        """Return the class of every label: equal numbers for labels tied directly or in a chain."""
        if not self._edges:
            return np.arange(self._count)
        a = np.concatenate([edge[0] for edge in self._edges])
        b = np.concatenate([edge[1] for edge in self._edges])
        graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(self._count,) * 2)
        found: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
        return found


def push(
    const: Floats, axis: int, ndim: int, dtype: torch.dtype, function: Callable[[Tensor], Tensor]
) -> Floats:
    """Push constants through the real operation, in the real dtype; NaN stays NaN.

    The operation sees a tensor of `ndim` dimensions with one sample and one position.

    Parameters
    ----------
    const
        (channel,) constants, NaN where live.
    axis
        Where channels lie in the argument of `function`.
    ndim
        Its number of dimensions.
    dtype
        Its type.
    function
        A map that keeps channels apart.

    Returns
    -------
    ndarray
        (channel,) constants, NaN where live.
    """
    known = ~np.isnan(const)
    if not known.any():
        return const
    shape = [1] * ndim
    shape[axis] = len(const)
    probe = torch.from_numpy(np.where(known, const, 0.0)).to(dtype).reshape(shape)
    with torch.no_grad():
        image = function(probe)
    result: Floats = image.to(torch.float64).reshape(-1).numpy()
    return np.where(known, result, np.nan)
