"""Preprocessing: what scikit-learn computes, fitted on training rows, kept as plain data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tl1bench.datasets import Choices, Options, Preprocessing, prepare, read_user, split
from tl1bench.datasets._fitting import fit
from tl1bench.datasets._tables.columns import UNSEEN, Column
from tl1bench.errors import DataError

COLUMNS = (
    Column("size", "number"),
    Column("city", "category", ("a", "b", "c", "d")),
    Column("open", "boolean", ("no", "yes")),
)


def table(rows: int = 300, seed: int = 0) -> np.ndarray:
    """Return sizes with gaps, cities of which two are rare, and booleans with gaps."""
    draw = np.random.default_rng(seed)
    size = draw.normal(500, 80, rows)
    size[draw.random(rows) < 0.1] = np.nan
    city = draw.choice([0, 1, 2, 3, np.nan], rows, p=[0.5, 0.37, 0.02, 0.01, 0.1])
    is_open = draw.choice([0, 1, np.nan], rows, p=[0.6, 0.3, 0.1])
    return np.column_stack([size, city, is_open])


def fitted(x: np.ndarray, choices: Choices | None = None) -> Preprocessing:
    outputs = fit(COLUMNS, x, Choices() if choices is None else choices)
    return Preprocessing(COLUMNS, outputs, "class", ("x", "y"))


@pytest.mark.parametrize("missing", ["median", "mean"])
def test_inputs_are_those_of_scikit_learn(missing: str) -> None:
    x, other = table(), table(seed=1)
    number = make_pipeline(SimpleImputer(strategy=missing), StandardScaler())
    one_hot = OneHotEncoder(
        min_frequency=10, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    reference = make_column_transformer(
        (number, [0]),
        (SimpleImputer(add_indicator=True), [0]),
        (one_hot, [1]),
        (SimpleImputer(strategy="most_frequent", add_indicator=True), [2]),
    ).fit(x)
    expected = np.delete(reference.transform(other), 1, axis=1)
    found = fitted(x, Choices(missing=missing)).apply(other)
    names = [output.name for output in fitted(x).outputs]
    assert names == ["size", "size missing", "city = a", "city = b", "city = missing",
                     "city = other", "open", "open missing"]  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-6)


def test_what_was_never_seen_is_other_and_nothing_else() -> None:
    plan = fitted(table())
    inputs = plan.apply(np.array([[500.0, UNSEEN, 0.0], [500.0, 2.0, 0.0]]))
    names = [output.name for output in plan.outputs]
    assert [names[i] for i in np.flatnonzero(inputs[0])] == ["size", "city = other"]
    assert np.array_equal(inputs[0], inputs[1])


def test_without_rare_categories_the_unseen_is_none_of_them() -> None:
    x = table()
    x[:, 1] = np.arange(len(x)) % 2
    inputs = fitted(x).apply(np.array([[500.0, UNSEEN, 0.0]]))
    names = [output.name for output in fitted(x).outputs]
    assert [names[i] for i in np.flatnonzero(inputs[0])] == ["size"]


def test_what_is_the_same_in_all_training_rows_is_left_out() -> None:
    x = table()
    x[:, 0], x[:, 2] = 7.0, 1.0
    plan = fitted(x)
    assert {output.column for output in plan.outputs} == {"city"}
    assert "column 'size' is the same in all training rows: left out" in plan.told()
    with pytest.raises(DataError, match="nothing to learn"):
        fitted(np.zeros((5, 3)))


def test_a_gap_is_refused_where_training_saw_none() -> None:
    plan = Preprocessing(COLUMNS[:1], fit(COLUMNS[:1], np.ones((3, 1)), None), "class", ("x", "y"))
    with pytest.raises(DataError, match="column 'size' has no value in row 2"):
        plan.apply(np.array([[1.0], [np.nan]]))


def test_texts_are_refused_where_all_is_left_alone() -> None:
    with pytest.raises(DataError, match="column 'city' holds texts, which `preprocess: none`"):
        fit(COLUMNS, table(), None)


def test_what_is_stored_is_json_and_computes_the_same() -> None:
    plan = fitted(table())
    again = Preprocessing.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False)))
    assert again == plan
    assert np.array_equal(again.apply(table(seed=2)), plan.apply(table(seed=2)))


@pytest.mark.parametrize("change", [{"format": "other"}, {"outputs": 3}, {"columns": []}])
def test_what_is_no_stored_preprocessing_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="no stored preprocessing"):
        Preprocessing.from_json({**fitted(table()).to_json(), **change})


def test_nothing_is_learnt_from_validation_or_test_rows(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'uv'[i % 2]},{'xy'[i // 2 % 2]}\n" for i in range(200))
    (tmp_path / "own.csv").write_text(f"a,b,kind\n{rows}")
    options = Options(columns={"a": "number"})
    data = read_user("own", tmp_path / "own.csv", tmp_path, options=options)
    parts = split(data, 40, seed=0)
    ready = prepare(data, parts)[0].preprocessing
    spoilt = dataclasses.replace(parts, x_val=parts.x_val * 1e6, x_test=parts.x_test * 1e6)
    assert prepare(data, spoilt)[0].preprocessing == ready
    assert ready is not None
    assert ready.outputs[0].mean == pytest.approx(parts.x_train[:, 0].mean())
    assert ready.outputs[0].mean != pytest.approx(data.x_train[:, 0].mean())
