"""Did a network learn anything? Against guessing the commonest class, by a paired test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    predicted: NDArray[np.int64], y: NDArray[np.int64], y_train: NDArray[np.int64]
) -> Against:
    """Compare predictions with guessing the commonest class of the training examples.

    McNemar's exact test, one-sided: of the examples that only one of the two gets right, is it the
    network by more than chance? Source: McNemar, Psychometrika 12 (1947).

    Parameters
    ----------
    predicted, y
        (n,) predicted and true classes of the validation examples.
    y_train
        (m,) classes of the training examples.

    Returns
    -------
    Against
        With p = 1 where both are right on the same examples.
    """
    from scipy.stats import binomtest

    guessed = y == np.bincount(y_train).argmax()
    right = predicted == y
    better, worse = int((right & ~guessed).sum()), int((guessed & ~right).sum())
    p = binomtest(better, better + worse, alternative="greater").pvalue if better + worse else 1.0
    return Against(100 * float((~right).mean()), 100 * float((~guessed).mean()), float(p))
