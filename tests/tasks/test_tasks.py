"""What a task says: its loss, its error, what guessing is; numpy and torch alike."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from tl1bench import tasks
from tl1bench.config import Data
from tl1bench.errors import ConfigError
from tl1bench.training.evaluation import loss

DRAW = np.random.default_rng(0)


def test_params_yaml_knows_every_task_and_the_same_default() -> None:
    assert get_args(Data.model_fields["task"].annotation) == tasks.names()
    assert Data().task == tasks.load().name == "classification"


def test_an_unknown_task_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no task 'ranking'; choose one of classification, reg"):
        tasks.load("ranking")


def test_classes_are_learned_by_cross_entropy() -> None:
    scores, y = torch.randn(7, 3), torch.randint(3, (7,))
    assert torch.equal(loss(scores, y, tasks.load()), functional.cross_entropy(scores, y))


def test_numbers_are_learned_by_the_squared_error() -> None:
    outputs, y = torch.randn(7, 1), torch.randn(7)
    expected = ((outputs[:, 0] - y) ** 2).mean()
    torch.testing.assert_close(loss(outputs, y, tasks.load("regression")), expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_the_error_of_classes_is_the_share_of_wrong_ones(kind: type) -> None:
    task, scores = tasks.load(), DRAW.normal(size=(8, 3))
    y = scores.argmax(1)
    assert task.error_pct(task.predicted(kind(scores)), kind(y)) == 0
    y[:3] = (y[:3] + 1) % 3
    assert task.error_pct(task.predicted(kind(scores)), kind(y)) == 37.5


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_the_error_of_numbers_is_the_root_of_the_mean_squared_error(kind: type) -> None:
    task, outputs, y = tasks.load("regression"), DRAW.normal(size=(8, 1)), DRAW.normal(size=8)
    expected = 100 * np.sqrt(np.mean((outputs[:, 0] - y) ** 2))
    assert task.error_pct(task.predicted(kind(outputs)), kind(y)) == pytest.approx(expected)


def test_guessing_the_mean_costs_a_hundred_percent() -> None:
    task, t = tasks.load("regression"), DRAW.gamma(2.0, 30.0, size=500)
    target = task.target(t)
    assert target is not None
    y = target.apply(t)
    assert task.error_pct(np.zeros_like(y), y) == pytest.approx(100, rel=1e-5)
    assert task.guessed(y) == pytest.approx(0, abs=1e-6)


def test_a_target_undoes_what_it_does() -> None:
    t = DRAW.normal(1e4, 0.5, size=50)
    target = tasks.load("regression").target(t)
    assert target is not None
    np.testing.assert_allclose(target.undo(target.apply(t)), t, rtol=1e-9)


def test_classes_have_an_output_each_and_numbers_one() -> None:
    assert tasks.load().outputs(np.array([0, 4, 2])) == 5
    assert tasks.load("regression").outputs(np.array([0.5, 4.0])) == 1
    assert tasks.load().target(np.array([0, 1])) is None
