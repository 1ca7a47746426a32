"""Data sets in memory, how one is split, and how a table is prepared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets import _fitting
from tl1bench.datasets._options import Options
from tl1bench.datasets._preprocessing import Preprocessing
from tl1bench.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tl1bench.datasets._tables.columns import Column

Array = NDArray[Any]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Raw:
    """What the columns of a table are whose values are not prepared yet."""

    columns: tuple[Column, ...]
    label: str
    options: Options


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test parts; network input = `scale` · x.

    `x_train`, `x_test`: uint8 or float32, (n, channels, height, width) or (n, features);
    `y_train`, `y_test`: int64 (n,), from 0 to classes - 1; `labels`: what each class is called.
    `stratified`: a split keeps the shares of the classes; `notes`: what was guessed in reading.

    A table has `raw` until `prepare` was called, its values being float64 (n, columns), codes of
    categories and NaN for what is missing; then it has `preprocessing`.
    """

    name: str
    x_train: Array
    y_train: Labels
    x_test: Array
    y_test: Labels
    scale: float
    labels: tuple[str, ...] = ()
    stratified: bool = False
    notes: tuple[str, ...] = ()
    raw: Raw | None = None
    preprocessing: Preprocessing | None = None

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

    Raises
    ------
    ConfigError
        Not one example is left on either side, or not one of each class where the split keeps
        their shares.
    DataError
        A class has a single training example and the split keeps the classes' shares.
    """
    count = len(dataset.x_train)
    if not 0 < validation < count:
        raise ConfigError(
            f"validation: {validation} of the {count} training examples of '{dataset.name}' cannot "
            f"be set aside; choose a number from 1 to {count - 1} in params.yaml"
        )
    if dataset.stratified:
        kept, held = _stratified(dataset, validation, seed)
    else:
        kept, held = _drawn(count, validation, seed)
    return Split(
        x_train=dataset.x_train[kept],
        y_train=dataset.y_train[kept],
        x_val=dataset.x_train[held],
        y_val=dataset.y_train[held],
        x_test=dataset.x_test,
        y_test=dataset.y_test,
    )


def _drawn(count: int, validation: int, seed: int) -> tuple[Labels, Labels]:
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    # Sorted: which examples are set aside is random, not the order they are kept in.
    return np.sort(order[validation:]), np.sort(order[:validation])


def _stratified(dataset: Dataset, validation: int, seed: int) -> tuple[Labels, Labels]:
    from sklearn.model_selection import train_test_split

    y, classes = dataset.y_train, dataset.classes
    counts = np.bincount(y, minlength=classes)
    if (counts < 2).any():
        rare = int(counts.argmin())
        raise DataError(
            f"data set '{dataset.name}': class '{dataset.labels[rare]}' has {counts[rare]} "
            "training example; two are needed, for training and for validation: add some or take "
            "it out"
        )
    if not classes <= validation <= len(y) - classes:
        raise ConfigError(
            f"validation: {validation} of the {len(y)} training examples of '{dataset.name}' leave "
            f"no example of some of its {classes} classes on one side; choose a number from "
            f"{classes} to {len(y) - classes} in params.yaml"
        )
    kept, held = train_test_split(
        np.arange(len(y)), test_size=validation, random_state=seed, stratify=y
    )
    return np.sort(kept), np.sort(held)


def prepare(dataset: Dataset, parts: Split) -> tuple[Dataset, Split]:
    """Turn a table's values into inputs, as fitted on the training rows of `parts` alone.

    Other data sets are what they are already.
    """
    if dataset.raw is None:
        return dataset, parts
    raw = dataset.raw
    try:
        outputs = _fitting.fit(raw.columns, parts.x_train, raw.options.preprocess)
    except DataError as error:
        raise DataError(f"data set '{dataset.name}': {error}") from None
    fitted = Preprocessing(raw.columns, outputs, raw.label, dataset.labels, raw.options.reading)
    ready = dataclasses.replace(
        dataset,
        x_train=fitted.apply(dataset.x_train),
        x_test=fitted.apply(dataset.x_test),
        raw=None,
        preprocessing=fitted,
    )
    return ready, dataclasses.replace(
        parts,
        x_train=fitted.apply(parts.x_train),
        x_val=fitted.apply(parts.x_val),
        x_test=ready.x_test,
    )


def every_fifth(labels: Array) -> NDArray[np.bool_]:
    """Mark every fifth example of each class, in order: a stratified 80/20 split without chance."""
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return chosen
