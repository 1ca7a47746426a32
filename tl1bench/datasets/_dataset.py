"""Data sets in memory, how one is split, and how a table is prepared."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tl1bench import tasks
from tl1bench.datasets import _fitting
from tl1bench.datasets._options import Options
from tl1bench.datasets._preprocessing import Preprocessing
from tl1bench.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tl1bench.datasets._tables.columns import Column

Array = NDArray[Any]
Rows = NDArray[np.int64]


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
    `y_train`, `y_test`: what `task` learns, (n,): int64 numbers of classes, from 0, or float64 as
    they are. `labels`: what each class is called. `stratified`: a split keeps the shares of the
    classes; `notes`: what was guessed in reading.

    A table has `raw` until `prepare` was called, its values being float64 (n, columns), codes of
    categories and NaN for what is missing; then it has `preprocessing`. Numbers have a `target`
    then, and are float32 in standard deviations from the mean of the training examples.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    scale: float
    labels: tuple[str, ...] = ()
    stratified: bool = False
    notes: tuple[str, ...] = ()
    raw: Raw | None = None
    preprocessing: Preprocessing | None = None
    task: tasks.Task = field(default_factory=tasks.load)
    target: tasks.Target | None = None

    @property
    def outputs(self) -> int:
        """How many outputs a network needs: one a class, or one for a number."""
        return len(self.labels) or max(map(self.task.outputs, (self.y_train, self.y_test)))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.x_train.shape[1:])


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test parts; the test part is read once, at the end."""

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    x_test: Array
    y_test: Array


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


def _drawn(count: int, validation: int, seed: int) -> tuple[Rows, Rows]:
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    # Sorted: which examples are set aside is random, not the order they are kept in.
    return np.sort(order[validation:]), np.sort(order[:validation])


def _stratified(dataset: Dataset, validation: int, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    y, classes = dataset.y_train, dataset.outputs
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
    """Turn a table's values into inputs, and numbers to be learned into standard deviations.

    Both are fitted on the training rows of `parts` alone. All else is what it is already.

    Raises
    ------
    DataError
        No column, or not what is to be learned, varies over the training rows.
    """
    return _inputs(*_targets(dataset, parts))


def _targets(dataset: Dataset, parts: Split) -> tuple[Dataset, Split]:
    target = dataset.task.target(parts.y_train)
    if target is None:
        return dataset, parts
    if target.scale == 0:
        raise DataError(
            f"data set '{dataset.name}': what is to be learned is {target.mean:g} in all training "
            "rows: there is nothing to learn"
        )
    ready = dataclasses.replace(
        dataset,
        y_train=target.apply(dataset.y_train),
        y_test=target.apply(dataset.y_test),
        target=target,
    )
    return ready, dataclasses.replace(
        parts,
        y_train=target.apply(parts.y_train),
        y_val=target.apply(parts.y_val),
        y_test=ready.y_test,
    )


def _inputs(dataset: Dataset, parts: Split) -> tuple[Dataset, Split]:
    if dataset.raw is None:
        return dataset, parts
    raw = dataset.raw
    try:
        outputs = _fitting.fit(raw.columns, parts.x_train, raw.options.preprocess)
    except DataError as error:
        raise DataError(f"data set '{dataset.name}': {error}") from None
    fitted = Preprocessing(
        raw.columns, outputs, raw.label, dataset.labels, raw.options.reading, dataset.target
    )
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
