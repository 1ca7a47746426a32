"""Classes: cross-entropy, wrong predictions in percent, against guessing the commonest class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from tl1bench.tasks._task import Target, Task


@final
class Classification(Task):
    """Examples belong to classes 0, 1, …; outputs are scores, and the largest one decides."""

    name: ClassVar[str] = "classification"
    loss: ClassVar[str] = "cross_entropy"
    error: ClassVar[str] = "error"
    unit: ClassVar[str] = "%"
    guess: ClassVar[str] = "guessing the commonest class"
    note: ClassVar[str] = ""
    columns: ClassVar[Mapping[str, str]] = {}
    decides: ClassVar[bool] = True

    def outputs(self, y: NDArray[Any]) -> int:
        """Return the number of classes, the last one being in `y`."""
        return int(y.max()) + 1

    def target(self, y_train: NDArray[Any]) -> Target | None:
        """Return None: classes are numbered already."""
        del y_train
        return None

    def fitted(self, outputs: Any) -> Any:
        """Return all scores."""
        return outputs

    def predicted(self, outputs: Any) -> Any:
        """Return the class of the largest score."""
        return outputs.argmax(1)

    def error_pct(self, predicted: Any, y: Any) -> float:
        """Return the share of wrong predictions in percent."""
        return 100.0 * float((predicted != y).sum()) / len(y)

    def guessed(self, y_train: NDArray[Any]) -> float:
        """Return the commonest class."""
        return float(np.bincount(y_train).argmax())

    def chance(self, predicted: NDArray[Any], guessed: float, y: NDArray[Any]) -> float:
        """Return p of McNemar's exact test.

        Of the examples that only one of the two gets right, is it the network by more than chance?
        Source: McNemar, Psychometrika 12 (1947).
        """
        from scipy.stats import binomtest

        right, lucky = predicted == y, y == guessed
        better, worse = int((right & ~lucky).sum()), int((lucky & ~right).sum())
        if not better + worse:
            return 1.0
        return float(binomtest(better, better + worse, alternative="greater").pvalue)
