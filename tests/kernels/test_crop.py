"""Images picked, moved and mirrored in C are those of torch, bit for bit."""

from __future__ import annotations

import pytest
import torch

from tl1bench.kernels.crop import crop
from tl1bench.training import Augmentation

COUNT = 300


def a_set(channels: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height)
    images = torch.randint(
        0, 256, (50, channels, height, width), dtype=torch.uint8, generator=generator
    )
    return images, torch.randint(0, 50, (COUNT,), generator=generator)


@pytest.fixture
def _compiler() -> None:
    images, rows = a_set(1, 4, 4)
    if crop(images, rows, torch.zeros(3, COUNT, dtype=torch.long), 0, 1.0) is None:
        pytest.skip("no C compiler here")


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("reach", [0, 1, 4])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 5, 9), (2, 9, 5)])
def test_moved_bytes_are_the_moved_floats(
    shape: tuple[int, int, int], reach: int, flip: bool
) -> None:
    images, rows = a_set(*shape)
    augmentation = Augmentation(reach, flip)
    drawn = augmentation.draw(2 * COUNT, torch.Generator().manual_seed(1))[:, COUNT:]
    expected = augmentation.apply(images[rows].float().mul_(1 / 255), drawn)
    found = crop(images, rows, drawn, reach, 1 / 255)
    assert found is not None
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(("picked", "down"), [(50, 0), (-1, 0), (0, 3), (0, -1)])
def test_what_is_out_of_range_is_not_read(picked: int, down: int) -> None:
    images, _ = a_set(1, 6, 6)
    drawn = torch.tensor([[down], [0], [0]])
    assert crop(images, torch.tensor([picked]), drawn, 1, 1.0) is None


def test_floats_and_other_layouts_are_left_to_torch() -> None:
    images, rows = a_set(2, 6, 6)
    drawn = torch.zeros(3, COUNT, dtype=torch.long)
    assert crop(images.float(), rows, drawn, 0, 1.0) is None
    assert crop(images.transpose(2, 3), rows, drawn, 0, 1.0) is None
    assert crop(images, rows, drawn, 6, 1.0) is None


def test_without_a_compiler_images_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = a_set(3, 8, 8)
    augmentation = Augmentation(2, flip=True)
    drawn = augmentation.draw(COUNT, torch.Generator().manual_seed(2))
    found = augmentation.pick(images, rows, drawn, 0.5)
    monkeypatch.setenv("TL1BENCH_COMPILE", "never")
    assert torch.equal(augmentation.pick(images, rows, drawn, 0.5), found)
