"""Whole fronts against each other, paired by seed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tl1bench.report.tables.between_fronts import outcome
from tl1bench.results.between_fronts import EQUAL, MARGIN, versus_fronts

DENSE = (100_000, 1.0)


def front(method: str, *points: tuple[float, float], seeds: int = 4) -> pd.DataFrame:
    """Return runs of a method with (size, error) points, a little different from seed to seed."""
    rng = np.random.default_rng(len(method))
    return pd.DataFrame(
        [
            {
                "problem": "p", "method": method, "step": step, "seed": seed,
                "nonzero_weights": size, "macs_compact": 2 * size, "weights_compact": size,
                "val_error_pct": error + shift, "test_error_pct": error + shift,
            }
            for seed in range(seeds)
            for shift in [0.005 * rng.standard_normal()]
            for step, (size, error) in enumerate(points)
        ]
    )  # fmt: skip


def compared(*methods: pd.DataFrame, by: str = "nonzero"):
    table = pd.concat([front("dense", DENSE), *methods], ignore_index=True)
    rivals = [m for m in dict.fromkeys(table["method"]) if m not in ("dense", "mine")]
    return versus_fronts(table, "p", "mine", rivals, by)


def test_the_front_that_lies_below_wins():
    small = front("mine", (1000, 1.1), (100, 1.4))
    large = front("large", (10_000, 1.1), (1000, 1.4))
    (found,) = compared(small, large)
    assert outcome(found) == "wins"
    assert found.size.estimate == pytest.approx(0.1, rel=0.05)
    # One decade smaller throughout: below 1.1 + shift to the margin, the area of one decade.
    assert found.area.estimate == pytest.approx(MARGIN - 0.1, rel=0.05)
    (turned,) = compared(large.assign(method="mine"), small.assign(method="small"))
    assert outcome(turned) == "loses"


def test_equal_fronts_tie():
    points = ((1000, 1.1), (100, 1.4))
    (found,) = compared(front("mine", *points), front("same", *points))
    assert outcome(found) == "ties"
    assert found.size.covers(1.0)


def test_a_point_that_validation_would_not_choose_does_not_count():
    mine, other = front("mine", (1000, 1.1)), front("other", (1000, 1.1))
    lucky = front("mine", (900, 2.0)).assign(step=7, test_error_pct=0.1)
    worse = front("mine", (2000, 1.5)).assign(step=8, test_error_pct=0.1)
    (plain,) = compared(mine, other)
    (with_worse,) = compared(pd.concat([mine, worse]), other)
    assert with_worse.area == plain.area
    (with_lucky,) = compared(pd.concat([mine, lucky]), other)
    assert with_lucky.area.estimate > plain.area.estimate  # it is on the front of validation


def test_size_at_equal_error_is_read_between_two_points():
    low, high = (100, 1.0 + 2 * EQUAL), (10_000, 1.0)
    (found,) = compared(front("mine", low, high), front("flat", (1000, 1.0)))
    assert found.size.estimate == pytest.approx(1.0, rel=0.05)  # half way, in decades
    (never,) = compared(front("mine", (100, 9.0)), front("flat", (1000, 1.0)))
    assert math.isnan(never.size.estimate)


def test_p_values_grow_with_the_number_of_rivals_and_one_seed_says_nothing():
    mine = front("mine", (1000, 1.1), (100, 1.4))
    one, two = front("one", (1100, 1.1), (110, 1.4)), front("two", (9000, 1.1))
    (alone,) = compared(mine, one)
    both = compared(mine, one, two)
    assert both[0].area_p >= alone.area_p
    assert compared(front("mine", (1000, 1.1), seeds=1), one) == ()
