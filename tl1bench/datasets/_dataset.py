"""Data sets in memory, and how one is split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.errors import ConfigError

Array = NDArray[Any]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test parts; network input = `scale` · x.

    `x_train`, `x_test`: uint8 or float32, (n, channels, height, width) or (n, features);
    `y_train`, `y_test`: int64 (n,), from 0 to classes - 1; `labels`: what each class is called.
    """

    name: str
    x_train: Array
    y_train: Labels
    x_test: Array
    y_test: Labels
    scale: float
    labels: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels) or int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.x_train.shape[1:])


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test parts; the test part is read once, at the end."""

    x_train: Array
    y_train: Labels
    x_val: Array
    y_val: Labels
    x_test: Array
    y_test: Labels


def split(dataset: Dataset, validation: int, seed: int) -> Split:
    """Set `validation` training examples aside, drawn without replacement by `seed`.

    Raises ConfigError unless at least one example is left on either side.
    """
    count = len(dataset.x_train)
    if not 0 < validation < count:
        raise ConfigError(
            f"validation: {validation} of the {count} training examples of '{dataset.name}' cannot "
            f"be set aside; choose a number from 1 to {count - 1} in params.yaml"
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    # Sorted: which examples are set aside is random, not the order they are kept in.
    held, kept = np.sort(order[:validation]), np.sort(order[validation:])
    return Split(
        x_train=dataset.x_train[kept],
        y_train=dataset.y_train[kept],
        x_val=dataset.x_train[held],
        y_val=dataset.y_train[held],
        x_test=dataset.x_test,
        y_test=dataset.y_test,
    )


def every_fifth(labels: Array) -> NDArray[np.bool_]:
    """Mark every fifth example of each class, in order: a stratified 80/20 split without chance."""
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen
