"""Shifts and mirror images: where a single bright pixel goes."""

import torch

from tl1bench.training import Augmentation


def images(count: int, row: int, column: int) -> torch.Tensor:
    x = torch.zeros(count, 1, 7, 7)
    x[:, :, row, column] = 1
    return x


def changed(augmentation: Augmentation, x: torch.Tensor) -> torch.Tensor:
    drawn = augmentation.draw(len(x), torch.Generator().manual_seed(0))
    return augmentation.apply(x, drawn)


def places(x: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple((image[0] == 1).nonzero()[0].tolist()) for image in x}


def test_shifts_move_each_image_by_at_most_the_reach() -> None:
    moved = changed(Augmentation(shift=1), images(200, 3, 3))
    assert places(moved) == {(r, c) for r in (2, 3, 4) for c in (2, 3, 4)}
    assert moved.sum() == 200


def test_what_is_shifted_out_is_gone_and_nothing_comes_in() -> None:
    moved = changed(Augmentation(shift=2), images(200, 0, 0))
    assert 0 < moved.sum() < 200
    assert places(moved[moved.sum((1, 2, 3)) > 0]) == {(r, c) for r in range(3) for c in range(3)}


def test_half_of_the_images_are_mirrored() -> None:
    mirrored = changed(Augmentation(flip=True), images(400, 2, 1))
    assert places(mirrored) == {(2, 1), (2, 5)}
    assert 150 < mirrored[:, 0, 2, 5].sum() < 250


def test_what_is_not_asked_for_draws_no_number_and_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(1)
    before, x = generator.get_state(), images(3, 1, 2)
    kept = Augmentation()
    assert kept.apply(x, kept.draw(3, generator)) is x
    assert torch.equal(generator.get_state(), before)
