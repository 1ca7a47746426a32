"""Fronts of points with several minimised objectives, and the area that they dominate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tl1bench.results.statistics import Floats, vector


def _points(points: ArrayLike) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return array.reshape(0, array.shape[1] if array.ndim == 2 else 2)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise ValueError("needs finite points of shape (points, objectives)")
    return array


def pareto_front(points: ArrayLike) -> NDArray[np.intp]:
    """Return the indices of points that no other dominates, sorted by the first objective.

    Every objective is minimised (negate one to maximise it). A point dominates another when it is
    nowhere worse and somewhere better, so equal points stay on the front together.
    """
    p = _points(points)
    nowhere_worse = (p[:, None, :] <= p[None, :, :]).all(axis=2)
    somewhere_better = (p[:, None, :] < p[None, :, :]).any(axis=2)
    front = np.flatnonzero(~(nowhere_worse & somewhere_better).any(axis=0))
    return front[np.lexsort(p[front].T[::-1])]


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """Area that two minimised objectives dominate, up to the `reference` point.

    Points beyond the reference in either objective add nothing; no points give 0. The unit is the
    product of the two objectives' units, and values compare only under one reference.

    Raises
    ------
    ValueError
        There are not two objectives.
    """
    p = _points(points)
    worst = vector(reference)
    if p.shape[1] != 2 or len(worst) != 2:
        raise ValueError("the hypervolume is defined here for two objectives")
    p = p[(p < worst).all(axis=1)]
    p = p[pareto_front(p)]
    ceilings = np.concatenate([worst[1:], p[:-1, 1]])
    return float(((worst[0] - p[:, 0]) * (ceilings - p[:, 1])).sum())
