"""A folder of images in class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tl1bench.datasets import Dataset, Options, read_user, split
from tl1bench.errors import DataError


def made(folder: Path, counts: dict[str, int], colour: bool = False, side: int = 6) -> Path:
    for kind, count in counts.items():
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            level = 10 * i + len(kind)
            pixels = np.full((side, side + 1, 3), level, dtype=np.uint8)
            pixels[..., 1] += np.uint8(colour)
            Image.fromarray(pixels).save(folder / kind / f"{i:02}.png")
    return folder


def read(folder: Path, size: int | None = None) -> Dataset:
    return read_user("own", folder, folder.parent / "data", options=Options(size=size))


@pytest.mark.parametrize(("colour", "channels"), [(False, 1), (True, 3)])
def test_images_are_read_with_their_folders_as_classes(
    colour: bool, channels: int, tmp_path: Path
) -> None:
    data = read(made(tmp_path / "own", {"cat": 10, "horse": 15}, colour))
    assert data.labels == ("cat", "horse")
    assert data.input_shape == (channels, 6, 7)
    assert (data.x_train.dtype, data.scale) == (np.uint8, 1 / 255)
    # Every fifth of each class by name: 4 and 9 of the cats, 4, 9 and 14 of the horses.
    assert data.x_test[:, 0, 0, 0].tolist() == [43, 93, 45, 95, 145]
    assert data.y_test.tolist() == [0, 0, 1, 1, 1]
    assert split(data, 5, seed=0).y_val.tolist() == [0, 0, 1, 1, 1]


def test_folders_train_and_test_are_obeyed(tmp_path: Path) -> None:
    made(tmp_path / "own" / "train", {"a": 2, "b": 2})
    made(tmp_path / "own" / "test", {"a": 1, "b": 1})
    data = read(tmp_path / "own")
    assert (len(data.x_train), len(data.x_test)) == (4, 2)


def test_images_of_different_sizes_need_to_be_told_theirs(tmp_path: Path) -> None:
    folder = made(tmp_path / "own", {"a": 5, "b": 5})
    Image.fromarray(np.zeros((9, 7), dtype=np.uint8)).save(folder / "b" / "00.png")
    with pytest.raises(DataError, match=r"a/00.png has 6 × 7 pixels, b/00.png has 9 × 7; give .*"):
        read(folder)
    assert read(folder, size=4).input_shape == (1, 4, 4)


def test_what_is_no_folder_of_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with pytest.raises(DataError, match="holds no images in folders named after their classes"):
        read(tmp_path / "own")
    folder = made(tmp_path / "few", {"a": 5, "b": 3})
    with pytest.raises(DataError, match="class 'b' has 3 images; 5 are needed"):
        read(folder)
    (folder / "a" / "00.png").write_bytes(b"\x89PNG cut")
    with pytest.raises(DataError, match=r"a/00\.png is no readable image") as refused:
        read(folder)
    assert "BytesIO" not in str(refused.value)


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    folder = made(tmp_path / "own", {"a": 5, "b": 5})
    read(folder)
    (folder / "a" / "00.png").rename(folder / "a" / "99.png")
    with pytest.raises(DataError, match="has changed since its first use"):
        read(folder)
