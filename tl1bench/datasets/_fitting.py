"""Preprocessing fitted by scikit-learn's transformers, and written down as plain data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tl1bench.datasets._options import Choices
from tl1bench.datasets._preprocessing import Output
from tl1bench.datasets._tables.columns import Column
from tl1bench.errors import DataError

Values = NDArray[np.float64]


def fit(columns: Sequence[Column], x: Values, choices: Choices | None) -> tuple[Output, ...]:
    """Return the network's inputs as fitted on the training rows.

    Parameters
    ----------
    columns
        Of the table.
    x
        (training rows, columns) values and codes, NaN where nothing is given.
    choices
        What to do; None leaves all as it is.

    Returns
    -------
    tuple
        In the order of the columns; inputs that are the same in every training row are left out.

    Raises
    ------
    DataError
        No input is left.
    """
    if choices is None:
        return tuple(_untouched(column) for column in columns)
    made: dict[str, list[Output]] = {}
    for kind, fitted in (("number", _numbers), ("boolean", _booleans), ("category", _categories)):
        places = [i for i, column in enumerate(columns) if column.kind == kind]
        if places:
            own = fitted([columns[i] for i in places], x[:, places], choices)
            made |= dict(zip((columns[i].name for i in places), own, strict=True))
    outputs = [
        output
        for i, column in enumerate(columns)
        for output in made[column.name]
        if _varies(output.of(x[:, i], column))
    ]
    if not outputs:
        raise DataError("every column is the same in all training rows: there is nothing to learn")
    return tuple(outputs)


def _untouched(column: Column) -> Output:
    if column.kind == "category":
        raise DataError(
            f"column '{column.name}' holds texts, which `preprocess: none` leaves as they are: "
            f"encode them as numbers, or leave the column out by `columns: {{{column.name}: drop}}`"
        )
    return Output(column.name, "value")


def _varies(values: Values) -> bool:
    return bool((values != values[0]).any())


def _numbers(columns: Sequence[Column], x: Values, choices: Choices) -> list[list[Output]]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy=choices.missing, keep_empty_features=True).fit(x)
    means, scales = np.zeros(len(columns)), np.ones(len(columns))
    if choices.numbers == "standardise":
        scaler = StandardScaler().fit(imputer.transform(x))
        means, scales = scaler.mean_, scaler.scale_
    return [
        [Output(c.name, "value", float(fill), float(mean), float(scale)), Output(c.name, "missing")]
        for c, fill, mean, scale in zip(columns, imputer.statistics_, means, scales, strict=True)
    ]


def _booleans(columns: Sequence[Column], x: Values, choices: Choices) -> list[list[Output]]:
    from sklearn.impute import SimpleImputer

    del choices  # Nothing about two values is a matter of taste.
    imputer = SimpleImputer(strategy="most_frequent", keep_empty_features=True).fit(x)
    return [
        [Output(c.name, "value", float(fill)), Output(c.name, "missing")]
        for c, fill in zip(columns, imputer.statistics_, strict=True)
    ]


def _categories(columns: Sequence[Column], x: Values, choices: Choices) -> list[list[Output]]:
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(
        min_frequency=choices.rare, handle_unknown="infrequent_if_exist", sparse_output=False
    ).fit(x)
    made = []
    for column, seen, rare in zip(
        columns, encoder.categories_, encoder.infrequent_categories_, strict=True
    ):
        together = [] if rare is None else [_text(column, code) for code in rare]
        texts = [_text(column, code) for code in seen]
        kept = [text for text in texts if text not in together]
        outputs = [Output(column.name, "is", values=(text,)) for text in kept]
        if together:
            outputs.append(Output(column.name, "is not", values=tuple(kept)))
        made.append(outputs)
    return made


def _text(column: Column, code: float) -> str | None:
    return None if np.isnan(code) else column.values[int(code)]
