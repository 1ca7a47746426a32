"""Pooling where images lie side by side, against torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tl1bench.kernels.maps import neighbours
from tl1bench.kernels.pool import pooled


def side_by_side(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return numbers many of which are equal, images being neighbours."""
    drawn = torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed))
    return neighbours(shape).copy_(drawn)


def quick(x: Tensor) -> Tensor:
    y = pooled(x)
    if y is None:
        pytest.skip("no C compiler here")
    return y


@pytest.mark.parametrize("shape", [(16, 1, 2, 2), (70, 3, 8, 6), (33, 2, 7, 5)])
def test_values_and_gradients_are_torchs_to_the_bit_at_ties_too(shape: tuple[int, ...]) -> None:
    x = side_by_side(shape).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    y, wanted = quick(x), functional.max_pool2d(twin, 2)
    assert torch.equal(y, wanted)
    assert y.stride(0) == 1
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    for given in (dy, neighbours(dy.shape).copy_(dy), dy[:1, :1].expand(dy.shape)):
        found = [torch.autograd.grad(t, s, given, retain_graph=True)[0]
                 for t, s in ((y, x), (wanted, twin))]  # fmt: skip
        assert torch.equal(*found)
        assert found[0].stride() == x.stride()


def test_nan_and_infinities_go_where_torch_sends_them() -> None:
    odd = torch.tensor([math.nan, math.inf, -math.inf, 0.0])
    x = neighbours((256, 1, 2, 2)).copy_(
        torch.cartesian_prod(odd, odd, odd, odd).view(256, 1, 2, 2)
    )
    x.requires_grad_()
    twin = x.detach().clone().requires_grad_()
    y, wanted = quick(x), functional.max_pool2d(twin, 2)
    torch.testing.assert_close(y, wanted, rtol=0, atol=0, equal_nan=True)
    y.backward(torch.ones_like(y))
    wanted.backward(torch.ones_like(y))
    assert torch.equal(x.grad, twin.grad)


def test_a_gradient_of_the_gradient_can_be_had() -> None:
    found = []
    for pool in (quick, lambda x: functional.max_pool2d(x, 2)):
        leaf = side_by_side((20, 2, 5, 6)).requires_grad_()
        (first,) = torch.autograd.grad(pool(leaf).pow(3).sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), leaf)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(32, 2, 4, 4),
        neighbours((32, 2, 4, 4), torch.float64).zero_(),
        neighbours((15, 2, 4, 4)).zero_(),
        neighbours((32, 2, 1, 4)).zero_(),
        neighbours((32, 2, 8, 8)).zero_()[..., ::2],
        neighbours((2, 4, 4)).zero_(),
        neighbours((32, 2, 4, 4)).zero_().to("meta"),
        torch.zeros(1).expand(32, 2, 4, 4),
        torch.zeros(400).as_strided((32, 2, 4, 4), (1, 1, 1, 1)),
    ],
)
def test_everything_else_is_left_to_torch(x: Tensor) -> None:
    assert pooled(x) is None
