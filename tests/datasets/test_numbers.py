"""Data sets of numbers: `task: regression` of a table or of four arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_tables import NAMES, ROWS, forms, values, written

from tl1bench import tasks
from tl1bench.datasets import Dataset, Options, prepare, read_rows, read_user, split
from tl1bench.datasets._fifths import every_fifth_by_size
from tl1bench.errors import DataError

NUMBERS = Options(task="regression")


def read(folder: Path, content: bytes, options: Options = NUMBERS) -> Dataset:
    file = folder / "own.csv"
    file.write_bytes(content)
    return read_user("own", file, folder / "data", options=options)


def arrays(folder: Path, **changed: object) -> Dataset:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(60, 3)).astype(np.float32), draw.normal(20.0, 4.0, size=60)
    parts = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:], **changed}
    np.savez(folder / "own.npz", **parts)  # type: ignore[arg-type]
    return read_user("own", folder / "own.npz", folder / "data", options=NUMBERS)


def test_the_table_that_classes_refuse_is_read_as_numbers(tmp_path: Path) -> None:
    data = read(tmp_path, forms()["regression"])
    assert data.raw is not None
    assert (data.task.name, data.outputs, data.labels) == ("regression", 1, ())
    assert data.raw.label == "price"
    assert len(data.x_train) + len(data.x_test) == ROWS
    assert len(data.x_test) == ROWS // 5


def test_numbers_become_standard_deviations_of_the_training_rows_alone(tmp_path: Path) -> None:
    data = read(tmp_path, forms()["regression"])
    ready, parts = prepare(data, split(data, 32, seed=0))
    assert ready.target is not None
    assert (parts.y_train.dtype, parts.y_val.shape) == (np.float32, (32,))
    assert parts.y_train.mean() == pytest.approx(0, abs=1e-6)
    assert parts.y_train.std() == pytest.approx(1, rel=1e-6)
    assert abs(parts.y_val.mean()) > 1e-6
    np.testing.assert_allclose(ready.target.undo(parts.y_test), data.y_test, rtol=1e-5)


def test_new_rows_have_their_numbers_in_the_tables_own_unit(tmp_path: Path) -> None:
    data = read(tmp_path, forms()["regression"])
    ready, _ = prepare(data, split(data, 32, seed=0))
    assert ready.preprocessing is not None
    stored = type(ready.preprocessing).from_json(ready.preprocessing.to_json())
    assert stored.target == ready.target
    x, known = read_rows(tmp_path / "own.csv", stored)
    assert x.shape == (ROWS, 4)
    assert known is not None
    np.testing.assert_allclose(np.sort(known), np.sort(np.r_[data.y_train, data.y_test]))


def test_whole_numbers_can_be_numbers_to_learn(tmp_path: Path) -> None:
    rows = [[*n, str(i)] for i, n in enumerate(values()[0])]
    content = written(rows, [*NAMES, "price"]).encode()
    with pytest.raises(DataError, match=r"are no classes; .* or write `task: regression`"):
        read(tmp_path, content, Options())
    assert read(tmp_path, content).outputs == 1


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("", "label column 'price' has no value in line 2"), ("dear", "holds numbers, but 'dear'")],
)
def test_a_label_that_is_no_number_is_refused(cell: str, reason: str, tmp_path: Path) -> None:
    rows = [[*n, f"{i / 7}"] for i, n in enumerate(values()[0])]
    rows[0][-1] = cell
    with pytest.raises(DataError, match=reason):
        read(tmp_path, written(rows, [*NAMES, "price"]).encode())


def test_a_number_that_is_always_the_same_is_nothing_to_learn(tmp_path: Path) -> None:
    rows = [[*n, "1.5"] for n in values()[0]]
    data = read(tmp_path, written(rows, [*NAMES, "price"]).encode())
    with pytest.raises(DataError, match=r"is 1\.5 in all training rows: there is nothing to learn"):
        prepare(data, split(data, 32, seed=0))


def test_a_part_named_in_the_table_is_obeyed(tmp_path: Path) -> None:
    rows = [[*n, "test" if i < 50 else "train", f"{i / 7}"] for i, n in enumerate(values()[0])]
    data = read(tmp_path, written(rows, [*NAMES, "split", "price"]).encode())
    assert len(data.x_test) == 50


def test_four_arrays_may_hold_numbers(tmp_path: Path) -> None:
    data = arrays(tmp_path)
    assert (data.task, data.outputs) == (tasks.load("regression"), 1)
    ready, parts = prepare(data, split(data, 8, seed=0))
    assert ready.target is not None
    assert parts.y_train.std() == pytest.approx(1, rel=1e-5)
    assert ready.preprocessing is None


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.array(["a"] * 40), "learns numbers"),
        (np.full(40, np.nan), r"y_train\[0\] is not finite"),
        (np.full(40, 1e300), r"y_train\[0\] is not finite"),
        (np.zeros((40, 2)), r"one label an example is needed"),
        (np.array(3.0), r"x_train has 40 examples, y_train has 0 labels"),
        (np.zeros(40, dtype=complex), "learns numbers"),
    ],
)
def test_arrays_of_something_else_are_refused(y: object, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        arrays(tmp_path, y_train=y)


def test_fractions_without_a_task_are_refused_with_the_way_out(tmp_path: Path) -> None:
    x, y = np.zeros((9, 2), dtype=np.float32), np.arange(9) / 2
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match=r"holds fractions; .* write `task: regression`"):
        read_user("own", tmp_path / "own.npz", tmp_path / "data")


def test_a_fifth_of_all_sizes_is_for_testing() -> None:
    y = np.array([9.0, 1, 3, 7, 5, 2, 8, 4, 6, 0])
    assert sorted(y[every_fifth_by_size(y)]) == [2, 7]
