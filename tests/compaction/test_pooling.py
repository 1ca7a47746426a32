"""Attention that pools: one score a position, learnt queries, masks that all heads share."""

import pytest
import torch
from hand_networks import Lambda, zero_columns
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact

SHAPE = (6, 5)


def scored(s, v):
    return s.w(v).squeeze(-1).softmax(-1)


def masked(s, x):
    v = s.v(x)
    hidden = s.w(v).squeeze(-1).masked_fill(x[..., 0] > 1, -1e9)
    return s.h((hidden.softmax(-1).unsqueeze(-1) * v).sum(1))


# Sixteen hidden channels, of which the reader and the scores take eight.
ONE_SCORE = {
    "weighted sum": lambda s, x: s.h((scored(s, s.v(x)).unsqueeze(-1) * s.v(x)).sum(1)),
    "product": lambda s, x: s.h(torch.bmm(scored(s, s.v(x)).unsqueeze(1), s.v(x)).squeeze(1)),
    "einsum": lambda s, x: s.h(torch.einsum("bn,bnd->bd", scored(s, s.v(x)), s.v(x))),
    "masked": masked,
    "context": lambda s, x: s.h((s.v(x).mT @ s.w(s.v(x)).softmax(1)).squeeze(-1)),
}


def pooled(forward, width=16, **more):
    torch.manual_seed(0)
    network = Lambda(forward, v=nn.Linear(5, 16), h=nn.Linear(width, 3), **more)
    for start in range(0, width, 16):
        zero_columns(network.h, *range(start, start + 8))
    return network


def rows(small):
    return {n.removesuffix(".weight"): len(t) for n, t in small.model.state_dict().items()
            if n.endswith("weight") and n != "h.weight"}  # fmt: skip


@pytest.mark.parametrize("kind", ONE_SCORE)
def test_channels_that_neither_scores_nor_reader_take_leave(kind, compacted):
    network = pooled(ONE_SCORE[kind], w=nn.Linear(16, 1))
    zero_columns(network.w, *range(8))
    assert rows(compacted(network, SHAPE)) == {"v": 8, "w": 1}


@pytest.mark.parametrize("kind", ONE_SCORE)
def test_a_channel_that_the_scores_take_stays(kind, compacted):
    network = pooled(ONE_SCORE[kind], w=nn.Linear(16, 1))
    zero_columns(network.w, *range(7))
    assert rows(compacted(network, SHAPE)) == {"v": 9, "w": 1}


def by_operation(s, x):
    q = s.q.expand(x.shape[0], -1, -1)
    return s.h(F.scaled_dot_product_attention(q, s.k(x), s.v(x)).flatten(1))


# One query or two; rows of keys that are left where dims of the queries are zero.
LEARNT = {
    "vector": (lambda s, x: s.h(((s.k(x) @ s.q).softmax(-1).unsqueeze(-1) * s.v(x)).sum(1)), 1, 4),
    "vector, keys turned": (
        lambda s, x: s.h(((s.q @ s.k(x).mT).softmax(-1).unsqueeze(1) @ s.v(x)).squeeze(1)), 1, 4),
    "matrix": (lambda s, x: s.h(((s.q @ s.k(x).mT).softmax(-1) @ s.v(x)).flatten(1)), 2, 4),
    "operation": (by_operation, 2, 6),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEARNT)
def test_learnt_queries_let_values_go_and_keys_where_they_are_a_layer(kind, compacted):
    forward, count, left = LEARNT[kind]
    network = pooled(forward, 16 * count, k=nn.Linear(5, 6))
    query = torch.randn(count, 6) if count > 1 else torch.randn(6)
    query[..., [1, 4]] = 0
    network.q = nn.Parameter(query)
    assert rows(compacted(network, SHAPE)) == {"v": 8, "k": left}


def test_of_channels_that_do_not_meet_those_of_one_operand_go(compacted):
    """Linear attention: keys times values is a matrix of both."""
    network = pooled(
        lambda s, x: s.h(s.q(x).softmax(-1) @ (s.k(x).softmax(1).mT @ s.v(x))),
        q=nn.Linear(5, 6), k=nn.Linear(5, 6),
    )  # fmt: skip
    assert rows(compacted(network, SHAPE)) == {"v": 8, "q": 6, "k": 6}


CAUSAL = torch.ones(6, 6, dtype=torch.bool).triu(1)


def own(s, x, y):
    q, k, v = (t.unflatten(-1, (4, 4)).transpose(1, 2)
               for t in F.linear(x, s.m.in_proj_weight, s.m.in_proj_bias).chunk(3, -1))  # fmt: skip
    scores = (q @ k.mT / 2).masked_fill(y[:, None, None, :] > 1, -1e9)
    return s.h(s.m.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)))


def by_torch(**options):
    return lambda s, x, y: s.h(s.m(x, x, x, key_padding_mask=y > 1, **options)[0])


MASKED = {
    "operation": by_torch(need_weights=False),
    "scores": by_torch(),
    "two masks": by_torch(attn_mask=CAUSAL, need_weights=False),
    "two masks, scores": by_torch(attn_mask=CAUSAL),
    "own": own,
}


@pytest.mark.parametrize("kind", MASKED)
def test_heads_go_beside_a_mask_that_hides_positions_from_all_of_them(kind):
    torch.manual_seed(0)
    network = Lambda(
        MASKED[kind], m=nn.MultiheadAttention(16, 4, batch_first=True), h=nn.Linear(16, 3)
    ).double().eval()  # fmt: skip
    zero_columns(network.m.out_proj, *range(8))
    x, y, *others = (torch.randn(n, *s, dtype=torch.float64) for n in (2, 3)
                     for s in ((6, 16), (6,)))  # fmt: skip
    small = compact(network, (x, y)).model
    with torch.no_grad():
        wanted, found = (m(*others) for m in (network, small))
    assert (wanted - found).abs().max() < 1e-12
    assert small.state_dict()["m.in_proj_weight"].shape == (24, 16)
