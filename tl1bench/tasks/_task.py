"""What a task is, and how numbers become what a network is fitted to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Target:
    """How a number t becomes what a network is fitted to: (t − `mean`) / `scale`.

    Both are those of the training examples, `scale` being the standard deviation.
    """

    mean: float
    scale: float

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return the numbers (n,) in standard deviations from the mean."""
        return np.asarray((values - self.mean) / self.scale, dtype=np.float32)

    def undo(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return what `apply` made `outputs` of."""
        return np.asarray(self.mean + self.scale * outputs.astype(np.float64))


class Task(ABC):
    """What is learned from examples (x, y), and how wrong a network is.

    Outputs (n, k), predictions and y (n,) are arrays of numpy or tensors of torch alike. Errors are
    in percent, so that one tolerance means something whatever the data's own unit is: of the
    examples, or of the standard deviation of the numbers.
    """

    name: ClassVar[str]
    """What it is called in params.yaml."""
    loss: ClassVar[str]
    """The function of `torch.nn.functional` that compares `fitted` outputs with y."""
    error: ClassVar[str]
    """What its error is called."""
    unit: ClassVar[str]
    """What its error is counted in."""
    guess: ClassVar[str]
    """What one does who has learned nothing, in words."""
    note: ClassVar[str]
    """What a reader must be told about the unit, a sentence, or nothing."""
    columns: ClassVar[Mapping[str, str]]
    """Heads of what `details` returns."""
    decides: ClassVar[bool]
    """Whether a prediction is a decision, which another rounding of the outputs can turn."""

    def label(self, part: str) -> str:
        """Return what the error on a part of the data is called, with its unit."""
        return f"{part} {self.error} [{self.unit}]"

    def details(self, error_pct: float, y: NDArray[Any], target: Target | None) -> dict[str, float]:
        """Return what else is said of an error on the test examples, by column of runs.csv.

        Parameters
        ----------
        error_pct
            As `error_pct` returns it.
        y
            (n,) what is true.
        target
            How numbers became y.

        Returns
        -------
        dict
            With the keys of `columns`, or some of them.
        """
        del error_pct, y, target
        return {}

    @abstractmethod
    def outputs(self, y: NDArray[Any]) -> int:
        """Return how many outputs a network needs for `y`."""

    @abstractmethod
    def target(self, y_train: NDArray[Any]) -> Target | None:
        """Return how y becomes what a network is fitted to; None where it is that already."""

    @abstractmethod
    def fitted(self, outputs: Any) -> Any:
        """Return what of the outputs the loss compares with y."""

    @abstractmethod
    def predicted(self, outputs: Any) -> Any:
        """Return what the outputs say, (n,)."""

    @abstractmethod
    def error_pct(self, predicted: Any, y: Any) -> float:
        """Return how wrong predictions are, in `unit`."""

    @abstractmethod
    def guessed(self, y_train: NDArray[Any]) -> float:
        """Return the one answer that is best where nothing is known of an example."""

    @abstractmethod
    def chance(self, predicted: NDArray[Any], guessed: float, y: NDArray[Any]) -> float:
        """Return p of a paired one-sided test that predictions are better than the guess.

        Parameters
        ----------
        predicted, y
            (n,) what is predicted and what is true.
        guessed
            What `guessed` returned.

        Returns
        -------
        float
            1 where both are right, or wrong, alike.
        """
