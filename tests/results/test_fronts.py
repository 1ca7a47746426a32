"""Fronts and hypervolumes, against what can be counted."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tl1bench.results.fronts import hypervolume, pareto_front

grids = hnp.arrays(np.int64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.integers(0, 6))


@given(grids)
def test_the_front_is_what_nothing_dominates(points):
    front = pareto_front(points).tolist()
    for i, p in enumerate(points):
        dominated = any((q <= p).all() and (q < p).any() for q in points)
        assert (i in front) != dominated
    assert points[front].tolist() == sorted(points[front].tolist())


@given(grids)
def test_the_hypervolume_is_the_number_of_dominated_unit_cells(points):
    cells = itertools.product(range(5), range(4))
    counted = sum(any(p[0] <= x and p[1] <= y for p in points) for x, y in cells)
    assert hypervolume(points, (5, 4)) == counted


def test_a_hypervolume_in_three_objectives_is_refused():
    with pytest.raises(ValueError, match="two objectives"):
        hypervolume([[1.0, 2.0, 3.0]], (4, 4, 4))
