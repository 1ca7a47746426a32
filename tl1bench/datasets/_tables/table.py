"""A table as a data set: which column is the label, which rows are for testing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._fifths import every_fifth, every_fifth_by_size
from tl1bench.datasets._options import Options
from tl1bench.datasets._tables.columns import KINDS, Column, codes, describe, words
from tl1bench.datasets._tables.frame import Frame

SPLIT = "split"
FEWEST = 5
"""Rows of a class, or of numbers, that suffice for training, validation and a test of a fifth."""

_MANY = 20
_LABELS = ("label", "class", "target", "y")
_IDENTITIES = ("id", "index", "row", "row_id", "rowid", "row id", "unnamed: 0")


@dataclass(frozen=True, eq=False)
class Table:
    """Values or codes (n, columns), what is to be learned (n,), and who is for testing.

    That are classes as texts or whole numbers, or numbers. `notes`: what was guessed.
    """

    columns: tuple[Column, ...]
    x: NDArray[np.float64]
    y: NDArray[Any]
    test: NDArray[np.bool_]
    label: str
    notes: tuple[str, ...]


def read(frame: Frame, options: Options) -> Table:
    """Find label and inputs in a table; ValueError says what is wrong with it."""
    notes = list(frame.notes)
    left_out = _left_out(frame, options, notes)
    names = [str(name) for name in frame.table.columns if name not in left_out]
    label = _label(names, options, notes)
    inputs = [name for name in names if name not in (label, SPLIT)]
    if not inputs:
        raise ValueError(f"there is no column beside the label '{label}'")
    columns = tuple(describe(frame, name, options.columns.get(name)) for name in inputs)
    x = np.column_stack([codes(frame, column) for column in columns])
    y, fifth = _LEARNED[options.task](frame, label, SPLIT in names)
    test = _test_rows(frame) if SPLIT in names else fifth
    if gaps := int(np.isnan(x).sum()):
        notes.append(f"{gaps:,} values are missing")
        if options.preprocess is None:
            row, place = np.argwhere(np.isnan(x))[0]
            raise ValueError(
                f"column '{inputs[place]}' has no value in {frame.place(int(row))}, and "
                "`preprocess: none` fills no gaps"
            )
    return Table(columns, x, y, test, label, tuple(notes))


def classes(frame: Frame, label: str) -> NDArray[Any]:
    """Return the label column as whole numbers or texts; ValueError where it is neither."""
    import pandas as pd

    column = frame.table[label]
    texts = words(column)
    if texts.isna().any():
        row = int(texts.isna().to_numpy().argmax())
        raise ValueError(f"label column '{label}' has no value in {frame.place(row)}")
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return texts.to_numpy(dtype=np.str_)
    y = column.to_numpy(dtype=np.float64)
    if not (np.isfinite(y).all() and (y == np.rint(y)).all() and (abs(y) < 2**53).all()):
        raise ValueError(
            f"label column '{label}' holds fractions, and labels are whole numbers or texts; name "
            "the column of the classes by `label:`, or write `task: regression` to learn the "
            "numbers themselves"
        )
    return y.astype(np.int64)


def numbers(frame: Frame, label: str) -> NDArray[np.float64]:
    """Return the label column as numbers; ValueError where it is none, or has a gap."""
    y = codes(frame, Column(label, "number"))
    if np.isnan(y).any():
        row = int(np.isnan(y).argmax())
        raise ValueError(f"label column '{label}' has no value in {frame.place(row)}")
    return y


def _of_classes(frame: Frame, label: str, split: bool) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    y = classes(frame, label)
    if not split:
        _refuse_small_classes(y, label)
    return y, every_fifth(y)


def _of_numbers(frame: Frame, label: str, split: bool) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    y = numbers(frame, label)
    if not split and len(y) < FEWEST:
        raise ValueError(f"{len(y)} rows are too few to train, validate and test: add some")
    return y, every_fifth_by_size(y)


# What a column and its rows for testing are to a task, by its name.
_LEARNED = {"classification": _of_classes, "regression": _of_numbers}


def _left_out(frame: Frame, options: Options, notes: list[str]) -> set[str]:
    """Return the columns that are no inputs: those that count the rows, are empty or unwanted."""
    known = [str(name) for name in frame.table.columns]
    for name, kind in options.columns.items():
        if name not in known:
            raise ValueError(f"there is no column '{name}' among {', '.join(known)}")
        if kind not in KINDS:
            raise ValueError(f"column '{name}' cannot be '{kind}'; it is one of {', '.join(KINDS)}")
    out = {name for name, kind in options.columns.items() if kind == "drop"}
    for place, name in enumerate(known, 1):
        if name in options.columns or name in (options.label, SPLIT):
            continue
        column = frame.table[name]
        if column.isna().all():
            notes.append(f"column '{name}' is empty: left out")
            out.add(name)
        elif place == 1 and _is_index(column, name):
            notes.append(f"'{name}', the first column, only numbers the rows: left out")
            out.add(name)
    return out


def _is_index(column: Any, name: str) -> bool:
    """Tell whether a first column counts the rows, or is called so and never the same twice."""
    if column.dtype.kind not in "iu" or column.isna().any() or len(column) < FEWEST:
        return False
    values = column.to_numpy(dtype=np.int64)
    counts = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    called = name.casefold() in (*_IDENTITIES, "column 1")
    return counts or (called and len(np.unique(values)) == len(values))


def _label(names: list[str], options: Options, notes: list[str]) -> str:
    if options.label is not None:
        if options.label not in names or options.label == SPLIT:
            raise ValueError(f"there is no label column '{options.label}' among {', '.join(names)}")
        return options.label
    candidates = [name for name in names if name != SPLIT]
    if not candidates:
        raise ValueError(f"there is no label column among {', '.join(names)}")
    called = [name for name in candidates if name.casefold() in _LABELS]
    label = called[0] if len(called) == 1 else candidates[-1]
    if label != candidates[-1]:
        notes.append(f"the label is taken to be column '{label}', by its name")
    return label


def _refuse_small_classes(y: NDArray[Any], label: str) -> None:
    values, counts = np.unique(y, return_counts=True)
    if len(values) > max(_MANY, len(y) / 2):
        raise ValueError(
            f"label column '{label}' holds {len(values)} different values in {len(y)} rows, which "
            "are no classes; name the column of the classes by `label:`, or write `task: "
            "regression` where they are numbers to be learned"
        )
    small = [f"'{value}' ({count})" for value, count in zip(values, counts, strict=True)
             if count < FEWEST]  # fmt: skip
    if small:
        raise ValueError(
            f"too few rows of {', '.join(small)} in column '{label}': {FEWEST} of each class are "
            "needed to train, validate and test; add some, join them to another class or take them "
            "out"
        )


def _test_rows(frame: Frame) -> NDArray[np.bool_]:
    given = frame.table[SPLIT].astype(str).str.strip().to_numpy(dtype=np.str_)
    if len(other := np.setdiff1d(given, ["train", "test"])):
        raise ValueError(f"column 'split' must say train or test, not '{other[0]}'")
    return np.asarray(given == "test")
