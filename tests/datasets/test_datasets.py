"""What holds for every data set in the folder."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tl1bench import datasets
from tl1bench.errors import DataError

every = pytest.mark.parametrize("name", datasets.names())
mirrored = pytest.mark.parametrize("name", ["cifar10", "fashion-mnist", "mnist"])
REAL_MIRROR = os.environ.get("TL1BENCH_MIRROR")


def test_our_data_sets_are_listed() -> None:
    assert {"cifar10", "digits", "fashion-mnist", "mnist"} <= set(datasets.names())


@every
def test_a_fetched_data_set_is_read_as_the_contract_says(
    name: str, tmp_path: Path, mirror: Path
) -> None:
    datasets.fetch(name, tmp_path / "data", mirror)
    data = datasets.read(name, tmp_path / "data")
    assert data.name == name
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.dtype == np.uint8
        assert y.dtype == np.int64
        assert x.shape == (len(y), *data.input_shape)
        assert x.ndim == 4
        assert 0 <= y.min() <= y.max() < data.outputs == len(set(data.labels))
        assert x.flags.writeable
        assert 0.9 < data.scale * x.max() <= 1


@every
def test_a_data_set_consists_of_exactly_the_files_it_names(
    name: str, tmp_path: Path, mirror: Path
) -> None:
    datasets.fetch(name, tmp_path / "data", mirror)
    stored = {path for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert stored == set(datasets.files(name, tmp_path / "data"))
    assert len(stored) == 4


@every
def test_fetching_again_does_nothing(
    name: str, tmp_path: Path, mirror: Path, lines: list[str], say: Callable[[str], None]
) -> None:
    datasets.fetch(name, tmp_path / "data", mirror)
    before = [path.stat().st_mtime_ns for path in datasets.files(name, tmp_path / "data")]
    datasets.fetch(name, tmp_path / "data", say=say)
    assert before == [p.stat().st_mtime_ns for p in datasets.files(name, tmp_path / "data")]
    assert lines == [f"{name}: already in {tmp_path / 'data'}, verified"]


@every
def test_a_missing_data_set_names_the_command_that_fetches_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"is missing; run `tl1bench data {name}`"):
        datasets.read(name, tmp_path)


@every
@pytest.mark.parametrize("which", range(4))
def test_one_changed_byte_in_a_stored_file_is_refused_and_mended(
    name: str, which: int, tmp_path: Path, mirror: Path
) -> None:
    datasets.fetch(name, tmp_path, mirror)
    path = datasets.files(name, tmp_path)[which]
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    expected = r"expected (md5|sha256) [0-9a-f]{32,64}, found [0-9a-f]{32,64}"
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} is altered: {expected}"):
        datasets.read(name, tmp_path)
    datasets.fetch(name, tmp_path, mirror)
    assert path.read_bytes() == good


@every
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    name: str, tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Path.write_bytes, []

    def fills_up(path: Path, content: bytes) -> int:
        calls.append(path)
        if len(calls) < 3:
            return write(path, content)
        write(path, content[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fills_up)
    with pytest.raises(DataError, match=r"No space left on device; it needs .* MB there: make"):
        datasets.fetch(name, tmp_path / "data", mirror)
    assert len(calls) == 3
    assert list((tmp_path / "data").iterdir()) == []


@mirrored
def test_without_any_source_each_is_named_with_its_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        datasets.fetch(name, tmp_path / "data")
    message = str(caught.value)
    assert "mirror folder: none given (--mirror DIR or TL1BENCH_MIRROR)" in message
    assert "official web site: no web" in message
    assert ("no registry" in message) == (name != "cifar10")
    assert f"then run `tl1bench data {name}`" in message
    assert "\n" not in message
    assert not (tmp_path / "data").exists()


@mirrored
def test_the_mirror_can_come_from_the_environment(
    name: str, tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL1BENCH_MIRROR", str(mirror))
    datasets.fetch(name, tmp_path / "data")
    assert datasets.read(name, tmp_path / "data").outputs == 10


@mirrored
def test_a_store_of_ours_serves_as_a_mirror(name: str, tmp_path: Path, mirror: Path) -> None:
    datasets.fetch(name, tmp_path / "first", mirror)
    datasets.fetch(name, tmp_path / "second", tmp_path / "first")
    for one, two in zip(
        datasets.files(name, tmp_path / "first"),
        datasets.files(name, tmp_path / "second"),
        strict=True,
    ):
        assert one.read_bytes() == two.read_bytes()


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set 'emnist'; choose one of cifar10, digits"):
        datasets.fetch("emnist", tmp_path)


def test_helper_modules_are_no_data_sets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set '-idx'"):
        datasets.read("-idx", tmp_path)


def test_digits_hold_each_of_scikit_learns_images_once(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    datasets.fetch("digits", tmp_path)
    data = datasets.read("digits", tmp_path)
    values, labels = load_digits(return_X_y=True)
    expected = np.column_stack([values, labels]).astype(int).tolist()
    stored = [
        [*image.ravel().tolist(), label]
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
        for image, label in zip(x, y.tolist(), strict=True)
    ]
    assert sorted(stored) == sorted(expected)
    shares = np.bincount(data.y_test) / np.bincount(labels)
    assert shares.min() > 0.19
    assert shares.max() <= 0.2


def test_reading_data_never_imports_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tl1bench import datasets;"
        "datasets.fetch('digits', Path(sys.argv[1])); datasets.read('digits', Path(sys.argv[1]));"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


if REAL_MIRROR:

    @pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
    def test_the_official_files_have_the_stated_digests(name: str, tmp_path: Path) -> None:
        datasets.fetch(name, tmp_path, Path(REAL_MIRROR or ""))
        data = datasets.read(name, tmp_path)
        assert data.x_train.shape == (60000, 1, 28, 28)
        assert data.x_test.shape == (10000, 1, 28, 28)
