"""A user's own file: read when it is sound, refused in one sentence when it is not."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tl1bench import files
from tl1bench.datasets import Dataset, read_user
from tl1bench.errors import DataError


def _sound() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "x_train": rng.normal(size=(6, 3)),
        "y_train": np.array([5, 9, 5, 9, 7, 7]),
        "x_test": rng.normal(size=(2, 3)),
        "y_test": np.array([9, 5]),
    }


def _npz(folder: Path, **changes: Any) -> Dataset:
    np.savez(
        folder / "own.npz", **{k: v for k, v in {**_sound(), **changes}.items() if v is not None}
    )
    return read_user("own", folder / "own.npz", folder / "data")


def _csv(folder: Path, text: str, label: str | None = None) -> Dataset:
    (folder / "own.csv").write_text(text)
    return read_user("own", folder / "own.csv", folder / "data", label)


def test_an_npz_is_read_with_its_labels_mapped_from_zero(tmp_path: Path) -> None:
    data = _npz(tmp_path)
    assert data.name == "own"
    assert data.x_train.dtype == np.float32
    assert np.allclose(data.x_train, _sound()["x_train"])
    assert data.y_train.tolist() == [0, 2, 0, 2, 1, 1]
    assert data.y_test.tolist() == [2, 0]
    assert data.y_test.dtype == np.int64
    assert data.labels == ("5", "7", "9")
    assert (data.scale, data.outputs, data.input_shape) == (1.0, 3, (3,))


@pytest.mark.parametrize(
    ("shape", "expected"), [((3,), (3,)), ((4, 5), (1, 4, 5)), ((3, 4, 5), (3, 4, 5))]
)
def test_bytes_are_pixels(
    shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    images = {
        "x_train": np.full((6, *shape), 255, np.uint8),
        "x_test": np.zeros((2, *shape), np.uint8),
    }
    data = _npz(tmp_path, **images)
    assert data.input_shape == expected
    assert data.x_train.dtype == np.uint8
    assert data.scale * data.x_train.max() == pytest.approx(1)


@pytest.mark.parametrize(
    "y_train",
    [
        np.array(list("bcbcaa")),
        np.array([[1], [2], [1], [2], [0], [0]]),
        np.array([1.0, 2.0, 1.0, 2.0, 0.0, 0.0]),
    ],
    ids=["strings", "a column", "whole floats"],
)
def test_labels_may_be_strings_a_column_or_whole_floats(
    y_train: np.ndarray, tmp_path: Path
) -> None:
    data = _npz(tmp_path, y_train=y_train, y_test=y_train[:2])
    assert data.y_train.tolist() == [1, 2, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_test": None}, "lacks y_test"),
        ({"x_train": np.array([{}] * 6)}, "no readable .npz"),
        ({"x_train": np.full((6, 3), np.nan)}, r"x_train\[0\] holds a value that is not finite"),
        ({"x_test": np.full((2, 3), 1e300)}, r"x_test\[0\] holds a value that is not finite"),
        ({"x_train": np.zeros((6, 3), complex)}, "2-dimensional complex128"),
        ({"x_train": np.zeros(6)}, "1-dimensional float64"),
        ({"x_train": np.zeros((6, 0))}, "hold nothing"),
        ({"x_train": np.zeros((6, 4))}, r"examples of \(4,\) float32, x_test of \(3,\) float32"),
        ({"x_train": np.zeros((6, 3), np.uint8)}, r"\(3,\) uint8, x_test of \(3,\) float32"),
        ({"x_train": np.zeros((6, 8, 8, 3))}, "channels last"),
        ({"x_train": np.zeros((5, 3))}, "x_train has 5 examples, y_train has 6 labels"),
        ({"x_test": np.zeros((0, 3)), "y_test": np.zeros(0, int)}, "the test part has no examples"),
        ({"y_train": np.eye(6)}, r"y_train has shape \(6, 6\)"),
        ({"y_train": np.full(6, 0.5)}, "y_train holds fractions"),
        ({"y_train": np.full(6, np.nan)}, "y_train holds fractions"),
        ({"y_train": np.zeros(6, "S1")}, r"y_train holds \|S1"),
        ({"y_train": np.full(6, 5)}, "single class"),
        ({"y_test": np.array([9, 4])}, "class 4 of y_test does not occur in y_train"),
        ({"y_test": np.array(["9", "5"])}, "both hold whole numbers, or both strings"),
    ],
)
def test_an_unsound_npz_is_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"data set 'own': \S+own\.npz: .*{reason}"):
        _npz(tmp_path, **changes)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_what_is_no_npz_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"no readable \.npz .*write it by np\.savez"):
        read_user("own", tmp_path / "own.npz", tmp_path / "data")


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "own.npz", **_sound())
    content = (tmp_path / "own.npz").read_bytes()
    for keep in range(0, len(content), 97):
        (tmp_path / "own.npz").write_bytes(content[:keep])
        with pytest.raises(DataError, match=r"no readable \.npz"):
            read_user("own", tmp_path / "own.npz", tmp_path / "data")


def test_a_missing_file_or_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read \S+: No such file .*datasets\.own\.path"):
        read_user("own", tmp_path / "own.npz", tmp_path)
    (tmp_path / "own.pdf").write_text("")
    with pytest.raises(
        DataError, match=r"a \.npz, a table \(.*\) or a folder of images, not '\.pdf'"
    ):
        read_user("own", tmp_path / "own.pdf", tmp_path)


TABLE = "a,b,kind\n" + "".join(f"{i / 4},{i / 2},{'xy'[i % 2]}\n" for i in range(20))


def test_a_csv_takes_its_last_column_for_the_label(tmp_path: Path) -> None:
    data = _csv(tmp_path, TABLE)
    assert data.labels == ("x", "y")
    assert data.scale == 1.0
    # Every fifth of each class: rows 8, 18 of x and 9, 19 of y.
    assert data.x_test.tolist() == [[2, 4], [2.25, 4.5], [4.5, 9], [4.75, 9.5]]
    assert data.y_test.tolist() == [0, 1, 0, 1]
    assert len(data.x_train) == 16


def test_a_csv_obeys_its_split_and_label_columns(tmp_path: Path) -> None:
    text = "class,u,split\n3,0.5,train\n4,1.5,train\n3,2.5,test\n"
    data = _csv(tmp_path, text, label="class")
    assert data.x_train.tolist() == [[0.5], [1.5]]
    assert data.x_test.tolist() == [[2.5]]
    assert data.labels == ("3", "4")
    assert data.y_test.tolist() == [0]


def test_the_column_before_split_is_the_label_by_default(tmp_path: Path) -> None:
    assert _csv(tmp_path, "u,k,split\n1,a,train\n2,b,train\n3,a,test\n").labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "label", "reason"),
    [
        ("", None, "no readable CSV .it is empty"),
        ('a,b\n1,"x\n', None, "no readable CSV"),
        (TABLE, "sort", "no label column 'sort' among a, b, kind"),
        ("split\ntrain\n", None, "no label column"),
        ("kind\n0\n1\n", None, "no column beside the label 'kind'"),
        ("a,kind\n1,0\n2,\n", None, "label column 'kind' has no value in line 3"),
        ("a,kind,split\n1,0,train\n2,1,dev\n", None, "must say train or test, not 'dev'"),
        ("a,kind\n1,0\n2,1\n", None, "too few rows of '0' .1., '1' .1. in column 'kind'"),
        ("a,kind,split\n1,0,train\n2,1,train\n", None, "the test part has no examples"),
        ("a,kind\n1,0.5\n2,1\n", None, "holds fractions"),
        ("a,kind\ninf,0\n2,1\n", None, "column 'a' holds a value in line 2 that is not finite"),
    ],
)
def test_an_unsound_csv_is_refused(
    text: str, label: str | None, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=rf"data set 'own': \S+own\.csv: .*{reason}"):
        _csv(tmp_path, text, label)


def test_the_digest_is_recorded_at_first_use_and_a_change_refused(tmp_path: Path) -> None:
    _csv(tmp_path, TABLE)
    record = tmp_path / "data" / "digests" / "own.sha256"
    first = hashlib.sha256(TABLE.encode()).hexdigest()
    assert record.read_text() == f"{first}  own.csv\n"
    changed = TABLE.replace("4.75,9.5", "4.75,9.6")
    second = hashlib.sha256(changed.encode()).hexdigest()
    with pytest.raises(
        DataError,
        match=rf"has changed since its first use: expected sha256 {first}, found {second}; restore "
        rf"the file, or accept it by deleting {record}",
    ):
        _csv(tmp_path, changed)
    record.unlink()
    _csv(tmp_path, changed)
    assert record.read_text().startswith(second)


def test_an_empty_record_is_refused(tmp_path: Path) -> None:
    files.write_text(tmp_path / "data" / "digests" / "own.sha256", "")
    with pytest.raises(DataError, match="holds no digest; delete it"):
        _csv(tmp_path, TABLE)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path), text)

    monkeypatch.setattr(files, "write_text", full)
    with pytest.raises(DataError, match=r"cannot record its digest in .* No space left on device"):
        _csv(tmp_path, TABLE)
