"""Layers few of whose weights are not zero, against torch's dense ones in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tl1bench.errors import ConfigError
from tl1bench.kernels.convolved import convolved
from tl1bench.kernels.maps import Geometry
from tl1bench.kernels.sparse import Pattern, narrow

SHAPES = {
    # name: (input, weight, geometry, share of the weights that is left, channels last)
    "a linear layer": ((170, 90), (70, 90), Geometry(), 0.1, False),
    "few rows": ((40, 90), (300, 90), Geometry(), 0.14, False),
    "a convolution": ((37, 4, 9, 8), (24, 4, 5, 3), Geometry(), 0.2, False),
    "channels last": ((37, 4, 9, 8), (24, 4, 5, 3), Geometry(), 0.2, True),
    "one channel": ((16, 1, 20, 20), (20, 1, 5, 5), Geometry(), 0.4, True),
    "strides, padding and dilation": (
        (33, 6, 11, 12), (24, 6, 3, 3), Geometry((2, 3), (1, 2), (2, 1)), 0.3, True,
    ),
    "strides up and down alone": (
        (33, 6, 11, 12), (24, 6, 3, 3), Geometry((2, 1), (1, 0)), 0.3, False,
    ),
    "groups": ((33, 8, 11, 12), (24, 2, 3, 3), Geometry(padding=(1, 1), groups=4), 0.3, False),
    "nothing left": ((33, 8, 11, 12), (24, 8, 3, 3), Geometry(), 0.0, False),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(name: str) -> tuple[Tensor, Tensor, Tensor, Geometry]:
    """Return the input, weight, bias and geometry of a case."""
    shape, size, geometry, share, last = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(s, generator=generator) for s in (shape, size))
    weight *= torch.rand(size, generator=generator) < share
    if last:
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    return x, weight, torch.randn(len(weight), generator=generator), geometry


def dense(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    if x.dim() == 2:
        return functional.linear(x, weight, bias)
    return functional.conv2d(x, weight, bias, g.stride, g.padding, g.dilation, g.groups)


def sparse(x: Tensor, weight: Tensor, bias: Tensor | None, g: Geometry) -> Tensor:
    pattern = Pattern.of((weight != 0).float(), weight, x.shape, g)
    if pattern is None:
        pytest.skip("no C compiler here")
    found = convolved(x, weight, bias, pattern)
    assert found is not None
    return found


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_the_dense_layer(name: str, biased: bool) -> None:
    x, weight, b, geometry = drawn(name)
    bias = b if biased else None
    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    twins = [t.detach().double().requires_grad_() for t in leaves]
    y = sparse(x, weight, bias, geometry)
    wanted = dense(*twins[:2], twins[2] if biased else None, geometry)
    assert (y.shape, y.dtype) == (wanted.shape, torch.float32)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-5, atol=1e-5)
    # Of a mean the gradient has strides of 0.
    way = torch.linspace(-1, 1, y.shape[1]).view(-1, *[1] * (y.dim() - 2))
    for made, kind in ((y, torch.float32), (wanted, torch.float64)):
        (made.square().sum() + (made * way.to(kind)).mean(0).sum()).backward()
    mask = (weight.detach() != 0).double()
    twins[1].grad *= mask
    for leaf, twin in zip(leaves, twins, strict=True):
        assert leaf.grad.stride() == leaf.stride()
        torch.testing.assert_close(leaf.grad.double(), twin.grad, rtol=1e-4, atol=1e-3)


def test_an_expanded_gradient_and_an_expanded_input_are_read_by_their_strides() -> None:
    x, weight, bias, geometry = drawn("a convolution")
    x = x[:1].expand(37, -1, -1, -1).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    sparse(x, weight, bias, geometry).sum().backward()
    dense(twin, weight, bias, geometry).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=1e-4, atol=1e-4)


def test_channels_last_stays_so() -> None:
    x, weight, bias, geometry = drawn("one channel")
    assert sparse(x, weight, bias, geometry).stride() == dense(x, weight, bias, geometry).stride()


@pytest.mark.parametrize("name", ["a linear layer", "strides, padding and dilation"])
def test_a_gradient_of_the_gradient_can_be_had(name: str) -> None:
    x, weight, bias, geometry = drawn(name)
    found = []
    for layer in (sparse, dense):
        leaf = x.clone().requires_grad_()
        y = layer(leaf, weight.clone().requires_grad_(), bias, geometry)
        (first,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-2)


def test_it_pays_for_few_weights_of_large_layers_alone() -> None:
    x, weight, _, _ = drawn("a linear layer")
    mask = (weight != 0).float()
    if Pattern.of(mask, weight, x.shape) is None:
        pytest.skip("no C compiler here")
    assert Pattern.of(torch.ones_like(mask), weight, x.shape) is None
    assert Pattern.of(mask, weight, (15, 90)) is None
    assert Pattern.of(mask, weight, (170, 89)) is None  # torch refuses it
    assert Pattern.of(mask[:, :9], weight[:, :9].contiguous(), (170, 9)) is None
    torch.set_num_threads(8)  # dense layers would have eight cores
    try:
        assert Pattern.of(mask, weight, x.shape) is None
    finally:
        torch.set_num_threads(1)


def test_convolutions_of_few_channels_need_no_zeros() -> None:
    few, many = torch.ones(5, 4, 3, 3), torch.ones(32, 16, 3, 3)
    assert (narrow(few, Geometry()), narrow(many, Geometry())) == (True, False)
    assert not narrow(torch.ones(5, 4), Geometry())
    assert Pattern.of(torch.ones_like(many), many, (64, 16, 12, 12)) is None
    if Pattern.of(torch.ones_like(few), few, (64, 4, 12, 12)) is None:
        pytest.skip("no C compiler here")


def test_where_c_cannot_go_nothing_is_done() -> None:
    x, weight, bias, geometry = drawn("a linear layer")
    pattern = Pattern.of((weight != 0).float(), weight, x.shape, geometry)
    if pattern is None:
        pytest.skip("no C compiler here")
    assert convolved(x.double(), weight, bias, pattern) is None
    with torch.autocast("cpu"):
        assert convolved(x, weight, bias, pattern) is None


def test_a_pattern_is_refused_where_it_does_not_fit() -> None:
    x, weight, bias, geometry = drawn("a convolution")
    pattern = Pattern.of((weight != 0).float(), weight, x.shape, geometry)
    if pattern is None:
        pytest.skip("no C compiler here")
    last = weight.contiguous(memory_format=torch.channels_last)
    for wrong in ((x[:36], weight), (x[..., :7], weight), (x, weight[:20]), (x, last)):
        with pytest.raises(ConfigError, match="A pattern made for"):
            convolved(*wrong, bias, pattern)
