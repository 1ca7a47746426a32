"""The passes of a card in Triton's interpreter: `test_card.py` runs this file with that set."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tl1bench import penalties
from tl1bench.kernels import card, tl1
from tl1bench.kernels.card import Move, Point
from tl1bench.kernels.momentum import Momentum

# (rows, columns, groups): groups side by side, in stretches, one, as many as weights; odd sizes.
SHAPES = [
    (1, 1, 1), (1, 7, 7), (1, 5000, 1), (1, 3 * 2049, 3), (3, 1, 1), (257, 1, 1),
    (130, 129, 129), (33, 250, 50), (5, 4 * 9, 4), (70, 1030, 2),
]  # fmt: skip


def weights(shape: tuple[int, ...], seed: int = 0, low: float = -8, high: float = 1) -> Tensor:
    """Return numbers of both signs over decades, some of them zero."""
    draw = torch.Generator().manual_seed(seed)
    size = 10 ** (low + (high - low) * torch.rand(shape, generator=draw))
    sign = torch.randint(-1, 2, shape, generator=draw)
    return (size * sign).to(torch.float32)


def squares(rows: Tensor, groups: int) -> Tensor:
    return rows.double().square().sum(0).view(groups, -1).sum(1)


def assert_shrunk(x: Tensor, z: Tensor, expected: Tensor) -> None:
    """Hold `x` to the float64 prox at `z`, up to rounding of z and of the shrinkage."""
    shrinkage = (z.double() - expected).abs()
    allowed = 2 * torch.finfo(torch.float32).eps * z.abs().double() + 1e-5 * shrinkage
    assert ((x.double() - expected).abs() <= allowed + 1e-45).all()


@pytest.mark.parametrize(("rows", "n", "groups"), SHAPES)
@pytest.mark.parametrize("momentum", [True, False])
def test_a_move_is_momentum_and_its_squares_are_those_of_the_groups(
    rows: int, n: int, groups: int, momentum: bool
) -> None:
    w, g, v = (weights((rows, n), seed, -3, 0) for seed in range(3))
    keep, share, decay, lr = 0.9, 0.1, 0.01, 0.3
    expected_v = keep * v.double() + share * (g.double() + decay * w.double())
    if not momentum:
        keep, expected_v = 0.0, share * (g.double() + decay * w.double())
    expected = w.double() - lr * expected_v
    before = v.clone()
    found = card.first_pass_(w, groups, Move(g, v, Momentum(keep, share, decay, lr)))
    torch.testing.assert_close(w.double(), expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(v.double(), expected_v if momentum else before.double())
    torch.testing.assert_close(found.double(), squares(w, groups), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("rows", "n", "groups"), SHAPES)
def test_groups_are_multiplied_and_their_weights_shrunk(rows: int, n: int, groups: int) -> None:
    w = weights((rows, n), low=-3, high=0)
    factor = torch.linspace(0, 1, groups)
    a, tau = 0.1, 1e-3
    shorter = w * factor.repeat_interleave(n // groups)
    expected = penalties.load("tl1", a=a, lam=1.0).prox(shorter.double(), tau)
    card.second_pass_(w, factor, Point.of(tl1.packed(a, tau)))
    assert_shrunk(w, shorter, expected)
    assert (w[:, : n // groups] == 0).all() or groups == 1


@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.01, 0.1, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("tau", [1e-30, 1e-12, 1e-7, 1e-4, 1e-2, 0.3, 10.0, 1e6, 1e12])
def test_one_weight_is_shrunk_as_in_float64(a: float, tau: float) -> None:
    threshold = tl1.threshold(a, tau)
    near = threshold * (1 + weights((900,), 2, -7, 0))
    far = threshold * weights((300,), 3, -8, 8)
    z = torch.cat([weights((800,), 1, -12, 8), near, far]).view(1, -1)
    expected = penalties.load("tl1", a=a, lam=1.0).prox(z.double(), tau)
    packed = tl1.packed(a, tau)
    assert packed is not None
    x = z.clone()
    card.second_pass_(x, torch.ones(1), Point.of(packed))
    assert (x[expected == 0] == 0).all()
    assert not torch.signbit(x[x == 0]).any()
    assert (x.abs() <= z.abs()).all()
    assert_shrunk(x, z, expected)


def test_not_a_number_stays_visible_and_infinity_infinite() -> None:
    x = torch.tensor([[math.nan, math.inf, -math.inf, 0.0, -0.0]])
    with np.errstate(invalid="ignore"):  # the interpreter's numpy warns where a card is silent
        card.second_pass_(x, torch.ones(1), Point.of(tl1.packed(0.1, 0.01)))
    assert x[0, 0].isnan()
    assert x[0, 1:].tolist() == [math.inf, -math.inf, 0.0, 0.0]


@pytest.mark.parametrize("tau", [0.0, 1e-9, 0.3, 1e9])
def test_soft_thresholding_is_the_prox_of_l1_to_the_bit(tau: float) -> None:
    z = weights((1, 3000))
    x = z.clone()
    card.second_pass_(x, torch.ones(1), Point.soft(tau))
    assert torch.equal(x, penalties.load("l1", lam=1.0).prox(z, tau))


def test_weights_may_be_shrunk_before_their_squares_are_taken() -> None:
    w = weights((65, 40), low=-2, high=0)
    expected = penalties.load("l1", lam=1.0).prox(w.double(), 0.05)
    found = card.first_pass_(w, 20, point=Point.soft(0.05))
    torch.testing.assert_close(w.double(), expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(found.double(), squares(w, 20), rtol=1e-5, atol=1e-12)


def test_a_pass_gives_the_same_bits_again() -> None:
    w = weights((3000, 40), low=-2, high=0)
    first = card.first_pass_(w.clone(), 40)
    assert torch.equal(first, card.first_pass_(w.clone(), 40))


def test_only_ordinary_float32_tensors_with_numbers_in_them_are_taken() -> None:
    w = torch.ones(3, 4)
    assert card.takes(w, w.clone())
    for refused in (w.double(), w.half(), w.bfloat16(), torch.ones(0, 4), w.to("meta")):
        assert not card.takes(refused)
    assert not card.takes(w, w.to("meta"))
    assert not card.takes()
    assert not card.takes(w.requires_grad_())


def test_a_backward_pass_over_weights_that_a_pass_changed_is_an_error() -> None:
    w = torch.ones(2, 3, requires_grad=True)
    loss = (w * w).sum()
    with torch.no_grad():
        card.first_pass_(w, 3, point=Point.soft(0.5))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
