"""Convolutions of a few channels, against torch's in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tl1bench.kernels.convolved import convolved
from tl1bench.kernels.direct import Direct
from tl1bench.kernels.maps import Geometry, neighbours

SHAPES = {
    # name: (input, weight, padding, channels last)
    "one channel": ((64, 1, 14, 13), (20, 1, 5, 5), (0, 0), False),
    "channels last": ((128, 5, 9, 8), (18, 5, 5, 3), (0, 0), True),
    "padding": ((50, 4, 7, 8), (7, 4, 3, 5), (1, 2), True),
    "padding wider than the kernel": ((64, 4, 5, 5), (3, 4, 2, 1), (3, 1), False),
    "one row": ((128, 2, 6, 12), (1, 2, 3, 3), (0, 0), False),
    "five rows": ((128, 1, 12, 12), (5, 1, 2, 3), (0, 0), False),
    "a pixel": ((100, 6, 12, 12), (3, 6, 1, 1), (0, 0), False),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(name: str) -> tuple[Tensor, Tensor, Tensor, Direct]:
    """Return the input, weight and bias of a case, and how it goes."""
    shape, size, padding, last = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(s, generator=generator) for s in (shape, size))
    if last:
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    way = Direct.of(weight, x.shape, Geometry(padding=padding))
    if way is None:
        pytest.skip("no C compiler here")
    return x, weight, torch.randn(len(weight), generator=generator), way


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_values_and_gradients_are_those_of_the_dense_layer(
    name: str, biased: bool, beside: bool
) -> None:
    x, weight, b, way = drawn(name)
    if beside:
        x = neighbours(x.shape).copy_(x)
    leaves = [t.requires_grad_() for t in (x, weight, b if biased else None) if t is not None]
    twins = [t.detach().double().requires_grad_() for t in leaves]
    y = convolved(x, weight, b if biased else None, way)
    assert y is not None
    assert y.stride(0) == 1
    bias = twins[2] if biased else None
    wanted = functional.conv2d(twins[0], twins[1], bias, padding=way.geometry.padding)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-5, atol=1e-5)
    (y.square().sum() + y.sum()).backward()
    (wanted.square().sum() + wanted.sum()).backward()
    for leaf, twin in zip(leaves, twins, strict=True):
        assert leaf.grad.stride() == leaf.stride()
        torch.testing.assert_close(leaf.grad.double(), twin.grad, rtol=1e-4, atol=2e-3)


def test_a_gradient_of_the_gradient_can_be_had() -> None:
    x, weight, _, way = drawn("padding")
    found = []
    for layer in (
        lambda t, w: convolved(t, w, None, way),
        lambda t, w: functional.conv2d(t, w, padding=way.geometry.padding),
    ):
        leaf = x.clone().requires_grad_()
        y = layer(leaf, (weight / 10).requires_grad_())
        (first,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-2)


def test_no_gradient_is_made_of_what_needs_none() -> None:
    x, weight, bias, way = drawn("one channel")
    y = convolved(x, weight.requires_grad_(), bias, way)
    assert y is not None
    y.sum().backward()
    assert x.grad is None


def test_it_pays_where_dense_kernels_would_fill_vectors_alone() -> None:
    drawn("one channel")
    few, many, usual = torch.ones(5, 4, 3, 3), torch.ones(32, 16, 3, 3), Geometry()
    assert Direct.of(few, (64, 4, 12, 12), usual) is not None
    assert Direct.of(many, (64, 16, 12, 12), usual) is None
    assert Direct.of(few, (40, 4, 12, 12), usual) is None  # 24 of 64 images would be made up
    assert Direct.of(few, (64, 4, 2, 12), usual) is None
    assert Direct.of(few, (64, 5, 12, 12), usual) is None  # torch refuses these two
    assert Direct.of(few, (64, 4), usual) is None
    for other in (Geometry((2, 1)), Geometry(dilation=(1, 2)), Geometry(groups=2)):
        assert Direct.of(few, (64, 4, 12, 12), other) is None
