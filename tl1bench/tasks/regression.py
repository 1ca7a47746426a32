"""Numbers: squared error, its root in percent of σ, against guessing the mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from tl1bench.tasks._task import Target, Task


@final
class Regression(Task):
    """Examples have a number each, given in standard deviations σ of the training examples.

    100 % of σ is what guessing the mean costs: the error is √(1 − R²) where the variance of the
    examples is that of the training ones.
    """

    name: ClassVar[str] = "regression"
    loss: ClassVar[str] = "mse_loss"
    error: ClassVar[str] = "RMSE"
    unit: ClassVar[str] = "% of σ"
    guess: ClassVar[str] = "guessing the mean"
    note: ClassVar[str] = (
        "σ is the standard deviation of the training numbers: guessing their mean costs about "
        "100 %."
    )
    columns: ClassVar[Mapping[str, str]] = {"test_rmse": "RMSE [own unit]", "test_r2": "R²"}
    decides: ClassVar[bool] = False

    def outputs(self, y: NDArray[Any]) -> int:
        """Return 1."""
        del y
        return 1

    def target(self, y_train: NDArray[Any]) -> Target | None:
        """Return mean and standard deviation of the training examples."""
        return Target(float(y_train.mean()), float(y_train.std()))

    def fitted(self, outputs: Any) -> Any:
        """Return the one output."""
        return outputs[:, 0]

    def predicted(self, outputs: Any) -> Any:
        """Return the one output."""
        return outputs[:, 0]

    def error_pct(self, predicted: Any, y: Any) -> float:
        """Return 100 √(mean (predicted − y)²)."""
        return 100.0 * math.sqrt(float(((predicted - y) ** 2).mean()))

    def details(self, error_pct: float, y: NDArray[Any], target: Target | None) -> dict[str, float]:
        """Return R² = 1 − MSE / variance, and the RMSE in the numbers' own unit."""
        found = {} if target is None else {"test_rmse": error_pct / 100.0 * target.scale}
        variance = float(y.astype(np.float64).var())
        if variance > 0:  # JSON has no NaN
            found["test_r2"] = 1.0 - (error_pct / 100.0) ** 2 / variance
        return found

    def guessed(self, y_train: NDArray[Any]) -> float:
        """Return the mean."""
        return float(y_train.mean())

    def chance(self, predicted: NDArray[Any], guessed: float, y: NDArray[Any]) -> float:
        """Return p of the paired t-test on squared errors.

        Source: Diebold & Mariano, J. Bus. Econ. Stat. 13 (1995), for independent examples.
        """
        from scipy.stats import ttest_1samp

        gain = (guessed - y) ** 2.0 - (predicted - y) ** 2.0
        if len(gain) < 2 or np.ptp(gain) == 0:
            return 0.0 if len(gain) > 1 and gain[0] > 0 else 1.0
        return float(ttest_1samp(gain, 0.0, alternative="greater").pvalue)
