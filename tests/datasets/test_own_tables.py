"""Tables as people have them: read right, or refused in a sentence that helps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_tables import NAMES, ROWS, forms, values, written

from tl1bench.datasets import Choices, Dataset, Options, Reading, prepare, read_user, split
from tl1bench.datasets._tables import text
from tl1bench.errors import ConfigError, DataError

FORMS = forms()
NUMBERS = ("number",) * 4


def read(folder: Path, content: bytes, options: Options | None = None, end: str = "csv") -> Dataset:
    file = folder / f"own.{end}"
    file.write_bytes(content)
    return read_user("own", file, folder / "data", options=options)


# What is in the file, what its columns are, how many inputs a network sees, what is said.
READ: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, str]] = {
    "plain": (NAMES, NUMBERS, 4, ""),
    "bom": (NAMES, NUMBERS, 4, "byte-order mark"),
    "utf16": (NAMES, NUMBERS, 4, "byte-order mark"),
    "latin1": (("Größe", *NAMES[1:]), NUMBERS, 4, "read as Windows-1252"),
    "booleans": ((*NAMES, "smoker"), (*NUMBERS, "boolean"), 5, ""),
    "categories": ((*NAMES, "city"), (*NUMBERS, "category"), 7, ""),
    "constant_column": ((*NAMES, "site"), (*NUMBERS, "number"), 4, ""),
    "decimal_comma": (NAMES, NUMBERS, 4, "decimal comma"),
    "duplicate_names": (("a", "a.1", "b", "c"), NUMBERS, 4, "several columns 'a'"),
    "index_column": (NAMES, NUMBERS, 4, "only numbers the rows"),
    "row_names": (NAMES, NUMBERS, 4, "only numbers the rows"),
    "label_first": (NAMES, NUMBERS, 4, "taken to be column 'class'"),
    "missing": (NAMES, NUMBERS, 8, "values are missing"),
    "question_marks": (NAMES, NUMBERS, 8, "values are missing"),
    "na": (NAMES, NUMBERS, 8, "values are missing"),
    "no_header": (("c1", "c2", "c3", "c4"), NUMBERS, 4, "no header"),
    "semicolon": (NAMES, NUMBERS, 4, "separated by ';'"),
    "tabs": (NAMES, NUMBERS, 4, "separated by tabs"),
    "blanks": (NAMES, NUMBERS, 4, "separated by blanks"),
    "sorted_by_class": (NAMES, NUMBERS, 4, ""),
}
REFUSED = {
    "dates": r"column 'day' holds dates \(2024-01-01\); .* `columns: \{day: drop\}`",
    "free_text": r"column 'remark' holds free text .* `columns: \{remark: drop\}`",
    "mixed": r"column 'dose' holds numbers, but '12 kg' in line 9; correct it",
    "rare_class": r"too few rows of 'rare' \(1\) in column 'class': 5 of each class are needed",
    "regression": r"label column 'price' holds fractions.* name the column .* by `label:`",
}


def test_every_form_is_expected_to_be_read_or_to_be_refused() -> None:
    assert set(FORMS) == set(READ) | set(REFUSED)


@pytest.mark.parametrize("form", READ)
def test_a_table_is_read_right(form: str, tmp_path: Path) -> None:
    names, kinds, inputs, said = READ[form]
    data = read(tmp_path, FORMS[form])
    assert data.raw is not None
    assert tuple(column.name for column in data.raw.columns) == names
    assert tuple(column.kind for column in data.raw.columns) == kinds
    assert data.labels == ("high", "low", "mid")
    assert len(data.x_train) + len(data.x_test) == ROWS
    assert said in "; ".join(data.notes)
    assert bool(data.notes) == bool(said)
    ready, parts = prepare(data, split(data, 32, seed=0))
    assert ready.input_shape == (inputs,)
    assert parts.x_val.shape == (32, inputs)
    assert all(np.isfinite(x).all() for x in (parts.x_train, parts.x_val, parts.x_test))


@pytest.mark.parametrize("form", READ)
def test_no_number_is_lost_or_moved(form: str, tmp_path: Path) -> None:
    data = read(tmp_path, FORMS[form])
    x, y = values()
    order = sorted(range(ROWS), key=lambda i: y[i]) if form == "sorted_by_class" else range(ROWS)
    expected = np.array(x, dtype=float)[list(order)]
    found = np.full((ROWS, 4), np.nan)
    test = np.zeros(ROWS, dtype=bool)
    for kind in set(y):
        test[np.flatnonzero(np.array(y)[list(order)] == kind)[4::5]] = True
    found[~test], found[test] = data.x_train[:, :4], data.x_test[:, :4]
    gaps = np.isnan(found)
    assert np.array_equal(found[~gaps], expected[~gaps])
    assert gaps.any() == (form in ("missing", "question_marks", "na"))


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_read_is_refused_with_advice(form: str, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"data set 'own': \S+own\.csv: {REFUSED[form]}"
    ) as refused:
        read(tmp_path, FORMS[form])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("form", "options", "names"),
    [
        ("dates", Options(columns={"day": "drop"}), NAMES),
        ("free_text", Options(columns={"remark": "drop"}), NAMES),
        ("free_text", Options(columns={"remark": "category"}), (*NAMES, "remark")),
        ("mixed", Options(reading=Reading(missing=("12 kg",))), (*NAMES, "dose")),
        ("plain", Options(label="class", columns={"temp": "drop"}), ("income", "rate", "score")),
        ("index_column", Options(columns={"column 1": "number"}), ("column 1", *NAMES)),
    ],
)
def test_the_advice_helps(
    form: str, options: Options, names: tuple[str, ...], tmp_path: Path
) -> None:
    data = read(tmp_path, FORMS[form], options)
    assert data.raw is not None
    assert tuple(column.name for column in data.raw.columns) == names


def test_a_number_may_be_a_category(tmp_path: Path) -> None:
    rows = "".join(f"{100 + i % 3},{i},{'xy'[i % 2]}\n" for i in range(60))
    data = read(tmp_path, f"zip,a,kind\n{rows}".encode(), Options(columns={"zip": "category"}))
    assert data.raw is not None
    assert data.raw.columns[0].values == ("100", "101", "102")
    assert prepare(data, split(data, 8, 0))[0].input_shape == (4,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(columns={"tmep": "drop"}), "there is no column 'tmep' among income, rate"),
        (Options(columns={"temp": "text"}), "column 'temp' cannot be 'text'; it is one of number"),
        (Options(columns={"temp": "boolean"}), "column 'temp' is no boolean"),
        (Options(reading=Reading(encoding="latin-99")), "there is no encoding 'latin-99'"),
        (Options(label="income"), "label column 'income' holds fractions"),
    ],
)
def test_an_impossible_wish_is_refused(options: Options, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, FORMS["plain"], options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n\0\0\xff", "holds zero bytes"),
        (b"a;b\n1;x\n" * 3 + b"1;2;3\n", "Expected 2 fields in line 7, saw 3"),
        (b"\xff\xfea", "is not utf-16"),
        (b"a,b,c\n1,x\n2,y\n", "names 3 columns, its rows hold 2"),
        (b"a,b\n", "names of columns and no row"),
        (
            b"a,class\n" + b"\n".join(b"%d,%d" % (i * i, i) for i in range(30)),
            "which are no classes",
        ),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, content)


def test_a_sheet_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not '\.xlsx'; save the sheet as CSV"):
        read(tmp_path, b"PK", end="xlsx")


@pytest.mark.parametrize(
    ("first", "header"),
    [
        (["a", "b", "c"], True),
        (["", "a", "b"], True),
        (["0", "1", "2"], True),
        (["1", "2", "label"], True),
        (["3.5", "2", "x"], False),
        (["0", "1", "1"], False),
        (["x", "y", "p"], False),
    ],
)
def test_a_header_is_told_from_values(first: list[str], header: bool) -> None:
    below = [["x", "y", "p"], ["x", "z", "e"], ["w", "y", "p"]]
    if first[0] != "x":
        below = [["0.5", "3", "x"], ["1.5", "4", "y"]]
    assert text._has_header([first, *below]) == header


def test_parquet_is_a_table_with_types_of_its_own(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "a": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
            "b": pd.Categorical(["u", "v"] * 20),
            "c": [True, False] * 20,
            "kind": ["x"] * 20 + ["y"] * 20,
        }
    )
    data = read(tmp_path, _parquet(table), end="parquet")
    assert data.raw is not None
    assert [column.kind for column in data.raw.columns] == ["number", "category", "boolean"]
    assert np.isnan(data.x_train[:, 0]).sum() + np.isnan(data.x_test[:, 0]).sum() == 10
    table["when"] = pd.Timestamp("2024-01-01")
    (tmp_path / "data/digests/own.sha256").unlink()
    with pytest.raises(DataError, match="column 'when' holds dates"):
        read(tmp_path, _parquet(table), Options(label="kind"), end="parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,x\n"])
def test_what_is_no_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable Parquet"):
        read(tmp_path, content, end="parquet")


def test_lists_in_a_column_are_refused(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [[1, 2]] * 10, "kind": ["x"] * 5 + ["y"] * 5})
    with pytest.raises(DataError, match="column 'a' holds lists"):
        read(tmp_path, _parquet(table), end="parquet")


def _parquet(table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    table.to_parquet(stream)
    return stream.getvalue()


def test_a_split_keeps_the_shares_of_the_classes(tmp_path: Path) -> None:
    rows = [[str(i), "rare" if i % 10 == 0 else "common"] for i in range(400)]
    data = read(tmp_path, written(rows, ["a", "class"]).encode(), Options(columns={"a": "number"}))
    parts = split(data, 80, seed=3)
    share = {"train": parts.y_train, "val": parts.y_val, "test": parts.y_test}
    assert {name: round(float(y.mean()), 2) for name, y in share.items()} == dict.fromkeys(
        share, 0.1
    )
    again = split(data, 80, seed=3)
    assert np.array_equal(parts.x_val, again.x_val)
    assert not np.array_equal(parts.x_val, split(data, 80, seed=4).x_val)


def test_a_split_without_room_for_every_class_is_refused(tmp_path: Path) -> None:
    data = read(tmp_path, FORMS["plain"])
    with pytest.raises(ConfigError, match=r"choose a number from 3 to \d+ in params.yaml"):
        split(data, 2, seed=0)
    rows = written([["1", "x", "train"], ["2", "x", "train"], ["3", "y", "train"],
                    ["4", "x", "test"]], ["a", "class", "split"])  # fmt: skip
    (tmp_path / "data/digests/own.sha256").unlink()
    alone = read(tmp_path, rows.encode())
    with pytest.raises(DataError, match="class 'y' has 1 training example; two are needed"):
        split(alone, 2, seed=0)


def test_gaps_are_refused_where_nothing_is_filled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no value in line \d+, and `preprocess: none` fills"):
        read(tmp_path, FORMS["missing"], Options(preprocess=None))


def test_no_preprocessing_leaves_every_number_alone(tmp_path: Path) -> None:
    data = read(tmp_path, FORMS["constant_column"], Options(preprocess=None))
    ready, parts = prepare(data, split(data, 32, seed=0))
    assert np.array_equal(ready.x_test, data.x_test.astype(np.float32))
    assert parts.x_train.shape[1] == 5


@pytest.mark.parametrize(
    ("choices", "mean"), [(Choices(), 0.0), (Choices(numbers="none"), 20000.0)]
)
def test_numbers_are_standardised_unless_it_is_said_otherwise(
    choices: Choices, mean: float, tmp_path: Path
) -> None:
    data = read(tmp_path, FORMS["plain"], Options(preprocess=choices))
    parts: Any = prepare(data, split(data, 32, seed=0))[1]
    assert parts.x_train[:, 0].mean() == pytest.approx(mean, abs=200)
    assert (abs(parts.x_train[:, 0].mean()) < 1e-5) == (choices.numbers == "standardise")
