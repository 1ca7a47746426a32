"""Did a network learn anything? Against the best guess, by a paired test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tl1bench.results.layout import DENSE
from tl1bench.tasks import Task

LEVEL = 0.05
"""A network whose p-value is not below this did no better than guessing."""


@dataclass(frozen=True)
class Against:
    """A network beside the best guess: errors in percent, and p of the paired test."""

    error_pct: float
    guess_error_pct: float
    p: float

    @property
    def learned(self) -> bool:
        """Whether the network is better than the guess by more than chance."""
        return self.p < LEVEL


def against_guessing(
    task: Task, predicted: NDArray[Any], y: NDArray[Any], y_train: NDArray[Any]
) -> Against:
    """Compare predictions with the one answer that is best on the training examples.

    Parameters
    ----------
    task
        What was to be learned; its `chance` is the test.
    predicted, y
        (n,) predicted and true classes, or numbers, of the validation examples.
    y_train
        (m,) those of the training examples.

    Returns
    -------
    Against
        With p = 1 where both are right, or wrong, alike.
    """
    guessed = task.guessed(y_train)
    return Against(
        error_pct=task.error_pct(predicted, y),
        guess_error_pct=task.error_pct(np.full(len(y), guessed), y),
        p=task.chance(predicted, guessed, y),
    )


def marks(chosen: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """Return the (problem, method) whose chosen runs do no better than guessing.

    The median of their p-values decides; what was not compared with a guess is not marked.

    Parameters
    ----------
    chosen
        Rows of runs.csv, one point a problem and method; read are problem, method and guess_p.

    Returns
    -------
    frozenset
        Where dense is among them, nothing was learned on the problem.
    """
    medians = chosen.groupby(["problem", "method"])["guess_p"].median()
    return frozenset((str(p), str(m)) for p, m in medians.index[medians >= LEVEL])


def unlearned(chosen: pd.DataFrame) -> tuple[str, ...]:
    """Return the problems on which nothing was learned: dense does no better than guessing."""
    guessed = marks(chosen)
    return tuple(p for p in dict.fromkeys(chosen["problem"]) if (p, DENSE) in guessed)


def alarm(where: str, task: Task, found: Against) -> str:
    """Return the loud word on a dense network that learned nothing.

    Parameters
    ----------
    where
        The problem, and which of its seeds.
    task
        What was to be learned.
    found
        Dense beside the guess.

    Returns
    -------
    str
        Whole sentences.
    """
    return (
        f"NOTHING WAS LEARNED on {where}: dense has a validation {task.error} of "
        f"{found.error_pct:.1f} {task.unit}, {task.guess} {found.guess_error_pct:.1f} {task.unit} "
        f"(p = {found.p:.2g}). Look at the data, the learning rate and the length of training "
        "before you believe anything else about it."
    )


def of_dense(chosen: pd.DataFrame, problem: str) -> Against:
    """Return dense beside the guess on a problem, medians over the seeds.

    Rows of runs.csv, one point a method; read are problem, method, val_error_pct, guess_error_pct
    and guess_p.
    """
    own = chosen[(chosen["problem"] == problem) & (chosen["method"] == DENSE)]
    return Against(*map(float, own[["val_error_pct", "guess_error_pct", "guess_p"]].median()))
