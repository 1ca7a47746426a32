"""Linear layers few of whose weights are not zero, against torch's dense ones in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tl1bench.errors import ConfigError
from tl1bench.kernels.linear import Places, multiplied, worth

SHAPES = {
    # name: (examples, in, out, share of the weights that is left)
    "many examples": (300, 90, 70, 0.1),
    "as many as a block": (128, 37, 20, 0.3),
    "few examples": (5, 40, 33, 0.3),
    "half a block and a bit": (70, 784, 10, 0.2),
    "nothing left": (40, 90, 30, 0.0),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(name: str) -> tuple[Tensor, Tensor, Tensor, Places]:
    """Return input, weight and bias of a case, and where its weights lie."""
    count, width, out, share = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(s, generator=generator) for s in ((count, width), (out, width)))
    weight *= torch.rand(weight.shape, generator=generator) < share
    places = Places.of(weight)
    if places is None:
        pytest.skip("no C compiler here")
    return x, weight, torch.randn(out, generator=generator), places


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("held", [True, False])
def test_values_and_gradients_are_those_of_the_dense_layer(
    name: str, biased: bool, held: bool
) -> None:
    x, weight, b, places = drawn(name)
    bias = b if biased else None
    leaves = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    twins = [t.detach().double().requires_grad_() for t in leaves]
    y = multiplied(x, weight, bias, places, held=held)
    wanted = functional.linear(*twins)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-5, atol=1e-5)
    # Of a mean the gradient has strides of 0.
    for made in (y, wanted):
        (made.square().sum() + made.mean(0).sum()).backward()
    if held:
        twins[1].grad *= weight.detach() != 0
    for leaf, twin in zip(leaves, twins, strict=True):
        torch.testing.assert_close(leaf.grad.double(), twin.grad, rtol=1e-4, atol=1e-3)
    y.detach().zero_()
    assert torch.equal(y, torch.zeros_like(y))  # memory of its own


@pytest.mark.parametrize("held", [True, False])
def test_inputs_and_gradients_are_read_by_their_strides(held: bool) -> None:
    x, weight, bias, places = drawn("many examples")
    wide = torch.empty(90, 600)[:, ::2].t().copy_(x)
    (one, other) = (t.detach().clone().requires_grad_() for t in (weight, weight))
    for w, y in (
        (one, multiplied(wide, one, bias, places, held=held)),
        (other, multiplied(x, other, bias, places, held=held)),
    ):
        y.sum().backward()
        assert w.grad is not None
    assert torch.equal(one.grad, other.grad) or not held
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("held", [True, False])
def test_a_gradient_of_the_gradient_can_be_had(held: bool) -> None:
    x, weight, bias, places = drawn("many examples")
    found = []
    for layer in (lambda *t: multiplied(*t, places, held=held), functional.linear):
        leaf = x.clone().requires_grad_()
        y = layer(leaf, weight.clone().requires_grad_(), bias)
        (first,) = torch.autograd.grad(y.square().sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-2)


def test_negative_zeros_are_zeros_and_tiny_weights_are_not() -> None:
    weight = torch.zeros(4, 20)
    weight[1, 3], weight[2, 19], weight[3, 8] = 2e-38, -2e-38, -0.0
    places, x = Places.of(weight), torch.rand(16, 20)
    if places is None:
        pytest.skip("no C compiler here")
    held = torch.ones(4, 20, requires_grad=True)
    multiplied(x, held, None, places, held=True).sum().backward()
    assert held.grad.nonzero().tolist() == [[1, 3], [2, 19]]
    assert torch.equal(places.mask(), (weight != 0).float())


def test_many_weights_have_no_places_and_small_layers_are_not_worth_it() -> None:
    x, weight, _, _ = drawn("many examples")
    assert worth(x, weight)
    assert not worth(x[:15], weight)
    assert not worth(x[:, None], weight)
    assert not worth(x, weight[:3])
    assert Places.of(torch.ones(70, 90)) is None
    assert Places.of(weight.double()) is None
    assert Places.of(weight[:, ::2]) is None
    torch.set_num_threads(8)  # dense layers would have eight cores
    try:
        assert Places.of(weight) is None
    finally:
        torch.set_num_threads(1)


def test_places_of_another_weight_are_refused_and_where_c_cannot_go_nothing_is_done() -> None:
    x, weight, bias, places = drawn("many examples")
    for wrong in ((x, weight[:, :9].contiguous()), (x[:, :9], weight), (x[0], weight)):
        with pytest.raises(ConfigError, match="do not fit places of"):
            multiplied(*wrong, bias, places, held=True)
    assert multiplied(x.double(), weight, bias, places, held=True) is None
    assert multiplied(x, weight.t().contiguous().t(), bias, places, held=True) is None
    with torch.autocast("cpu"):
        assert multiplied(x, weight, bias, places, held=True) is None
