"""Against the best guess: paired tests that know luck from learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tl1bench import tasks
from tl1bench.results.guessing import Against, marks, unlearned
from tl1bench.results.guessing import against_guessing as compare

CLASSES, NUMBERS = tasks.load("classification"), tasks.load("regression")
Y = np.array([0] * 60 + [1] * 40)


def against_guessing(predicted: Any, y: Any, y_train: Any) -> Against:
    """Compare predicted classes."""
    return compare(CLASSES, predicted, y, y_train)


def test_a_network_that_guesses_has_not_learned() -> None:
    found = against_guessing(np.zeros(100, dtype=int), Y, Y)
    assert (found.error_pct, found.guess_error_pct, found.p) == (40, 40, 1)
    assert not found.learned


def test_a_network_that_is_right_has_learned() -> None:
    found = against_guessing(Y, Y, Y)
    assert (found.error_pct, found.guess_error_pct) == (0, 40)
    assert found.p == pytest.approx(2.0**-40)
    assert found.learned


def test_a_little_better_is_not_enough_and_worse_is_never() -> None:
    lucky = np.zeros(100, dtype=int)
    lucky[60:64] = 1
    assert against_guessing(lucky, Y, Y).p == pytest.approx(2.0**-4)
    assert not against_guessing(lucky, Y, Y).learned
    assert against_guessing(1 - Y, Y, Y).p > 0.9


def test_the_guess_is_the_commonest_class_of_training() -> None:
    assert against_guessing(Y, Y, 1 - Y).guess_error_pct == 60


def test_chance_alone_is_taken_for_learning_as_often_as_the_level_says() -> None:
    draw = np.random.default_rng(0)
    y = np.tile([0, 1], 100)
    learned = [against_guessing(draw.integers(0, 2, 200), y, y).learned for _ in range(400)]
    assert 0 < np.mean(learned) <= 0.06


def test_the_mean_is_the_guess_where_numbers_are_learned() -> None:
    y = np.random.default_rng(1).normal(3.0, 2.0, 200)
    found = compare(NUMBERS, y + 0.1, y, y)
    assert found.error_pct == pytest.approx(10)
    assert found.guess_error_pct == pytest.approx(100 * y.std())
    assert found.learned
    mean = np.full_like(y, y.mean())
    assert compare(NUMBERS, mean, y, y).p == 1
    assert compare(NUMBERS, -y, y, y).p > 0.9


def test_numbers_drawn_by_chance_are_taken_for_learning_as_seldom_as_the_level_says() -> None:
    draw = np.random.default_rng(0)
    # The mean of the training examples is the best guess: what noise adds only makes it worse.
    learned = []
    for _ in range(300):
        y, y_train = draw.normal(size=50), draw.normal(size=500)
        learned.append(compare(NUMBERS, 0.05 * draw.normal(size=50), y, y_train).learned)
    assert np.mean(learned) <= 0.08


def chosen(p_of_method: dict[tuple[str, str], tuple[float, ...]]) -> pd.DataFrame:
    rows = [
        {"problem": problem, "method": method, "guess_p": p}
        for (problem, method), ps in p_of_method.items()
        for p in ps
    ]
    return pd.DataFrame(rows)


def test_a_method_is_marked_where_most_of_its_seeds_guess() -> None:
    table = chosen(
        {("a", "dense"): (0.0, 0.0, 0.4), ("a", "l1"): (0.0, 0.3, 0.9), ("b", "dense"): (0.5, 1.0)}
    )
    assert marks(table) == {("a", "l1"), ("b", "dense")}
    assert unlearned(table) == ("b",)


def test_what_was_never_held_against_a_guess_is_not_marked() -> None:
    assert marks(chosen({("a", "dense"): (np.nan, np.nan)})) == frozenset()
