"""Networks in half precision: compacted in their own type, equal within its rounding."""

import pytest
import torch
from hand_networks import Lambda, Residual, randomise, zero_columns, zero_rows
from same_function import numbers
from torch import nn

from tl1bench.compaction import compact
from tl1bench.tracing import agreement


def dense():
    network = nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    zero_rows(network[0], *range(6), bias=0.4)
    zero_columns(network[4], 1, 2)
    return network, (6,)


def residual():
    network = randomise(Residual())
    zero_rows(network.inner, 2, bias=0.3)
    zero_rows(network.outer, 0, 1, bias=0)
    return network, (3, 8, 8)


def recurrent():
    network = Lambda(
        lambda s, x: s.h(s.r(torch.tanh(s.a(x)))[0][:, -1]),
        a=nn.Linear(4, 6), r=nn.GRU(6, 8, batch_first=True), h=nn.Linear(8, 3),
    )  # fmt: skip
    zero_rows(network.a, 1, bias=0.5)
    for weight in (network.r.weight_hh_l0, network.h.weight):
        with torch.no_grad():
            weight[:, :3] = 0
    return network, (5, 4)


@pytest.mark.parametrize("build", [dense, residual, recurrent])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_network_in_half_precision_is_the_same_within_its_rounding(build, kind):
    torch.manual_seed(0)
    network, shape = build()
    network = network.to(kind).eval()
    small = compact(network, (torch.randn(2, *shape).to(kind),)).model
    assert numbers(small) < numbers(network)
    assert {t.dtype for t in small.parameters()} == {kind}
    x = torch.randn(7, *shape).to(kind)
    with torch.no_grad():
        assert agreement.same(network(x), small(x), depth=3)
        exact = small.double()(x.double())
    assert agreement.difference(network.double()(x.double()).detach(), exact) < agreement.rounding(
        kind
    )
