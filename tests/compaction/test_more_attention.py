"""Attention by einsum, behind rotary positions, and of grouped queries."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from test_compact import thin_out
from torch import nn
from torch.nn import functional as F


def heads(x):
    return x.unflatten(-1, (2, 4))


def by_einsum(s, x):
    q, k, v = heads(s.q(x)), heads(s.k(x)), heads(s.v(x))
    scores = torch.einsum("bnhd,bmhd->bhnm", q, k).softmax(-1)
    return s.out(torch.einsum("bhnm,bmhd->bnhd", scores, v).flatten(2))


def test_attention_by_einsum_stays_the_same_function(compacted):
    network = Lambda(
        by_einsum, q=nn.Linear(5, 8), k=nn.Linear(5, 8), v=nn.Linear(5, 8), out=nn.Linear(8, 3)
    )
    zero_columns(network.out, *range(4))
    compacted(network, (6, 5))


def turned(x):
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def rotary(s, x):
    q, k, v = (heads(layer(x)).transpose(1, 2) for layer in (s.q, s.k, s.v))
    q, k = (t * s.cos + turned(t) * s.sin for t in (q, k))
    y = F.scaled_dot_product_attention(q, k, v)
    return s.out(y.transpose(1, 2).flatten(2))


def with_rotary():
    network = Lambda(
        rotary, q=nn.Linear(5, 8), k=nn.Linear(5, 8), v=nn.Linear(5, 8), out=nn.Linear(8, 3)
    )
    angle = torch.arange(6.0)[:, None] * torch.tensor([1.0, 0.1, 1.0, 0.1])
    network.register_buffer("cos", angle.cos())
    network.register_buffer("sin", angle.sin())
    return network


def test_a_head_goes_behind_rotary_positions(compacted):
    network = with_rotary()
    zero_columns(network.out, *range(4))
    small = compacted(network, (6, 5))
    assert {n: t.shape[0] for n, t in small.model.state_dict().items() if "weight" in n} == {
        "q.weight": 4, "k.weight": 4, "v.weight": 4, "out.weight": 3,
    }  # fmt: skip
    assert small.report.opaque == ()


def test_pairs_of_dims_go_behind_rotary_positions_with_their_angles(compacted):
    network = with_rotary()
    for layer in (network.q, network.k):
        zero_rows(layer, 1, 3, 5, 7, bias=0)
    found = compacted(network, (6, 5)).model.state_dict()
    assert found["q.weight"].shape == (4, 5)
    assert found["cos"].shape == found["sin"].shape == (6, 2)


@pytest.mark.parametrize("seed", range(4))
def test_rotary_attention_with_random_zeros_stays_the_same_function(seed, compacted):
    compacted(thin_out(with_rotary(), 0.5, seed), (6, 5))


def interleaved(t):
    return t.repeat_interleave(2, dim=1)


def expanded(t):
    b, h, n, d = t.shape
    return t[:, :, None].expand(b, h, 2, n, d).reshape(b, 2 * h, n, d)


GROUPED = {
    "operation": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
    "repeated": lambda q, k, v: F.scaled_dot_product_attention(q, interleaved(k), interleaved(v)),
    "expanded": lambda q, k, v: F.scaled_dot_product_attention(q, expanded(k), expanded(v)),
    "own": lambda q, k, v: (q @ interleaved(k).mT).softmax(-1) @ interleaved(v),
}


def grouped(attend):
    """Four heads of queries, two of keys and values, of four dims."""

    def forward(s, x):
        q = s.q(x).unflatten(-1, (4, 4)).transpose(1, 2)
        k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (s.k, s.v))
        return s.out(GROUPED[attend](q, k, v).transpose(1, 2).flatten(2))

    return Lambda(
        forward, q=nn.Linear(5, 16), k=nn.Linear(5, 8), v=nn.Linear(5, 8), out=nn.Linear(16, 3)
    )


def rows(small):
    found = small.model.state_dict()
    return {name: found[f"{name}.weight"].shape[0] for name in "qkv"}


@pytest.mark.parametrize("attend", GROUPED)
def test_a_group_of_queries_goes_with_its_keys(attend, compacted):
    network = grouped(attend)
    zero_columns(network.out, *range(8, 16))
    assert rows(compacted(network, (6, 5))) == {"q": 8, "k": 4, "v": 4}


@pytest.mark.parametrize("attend", GROUPED)
def test_one_query_of_a_group_keeps_the_group(attend, compacted):
    network = grouped(attend)
    zero_columns(network.out, *range(12, 16))
    assert rows(compacted(network, (6, 5))) == {"q": 16, "k": 8, "v": 8}


@pytest.mark.parametrize("attend", GROUPED)
def test_dims_of_values_go_from_every_group(attend, compacted):
    network = grouped(attend)
    zero_rows(network.v, 1, 6, bias=0)
    assert rows(compacted(network, (6, 5))) == {"q": 16, "k": 8, "v": 6}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("attend", GROUPED)
def test_grouped_queries_with_random_zeros_stay_the_same_function(attend, seed, compacted):
    compacted(thin_out(grouped(attend), 0.5, seed), (6, 5))
