"""Channels that a view splits over several axes: attention in all its forms, maps, shuffles."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from test_compact import thin_out
from torch import nn
from torch.nn import functional as F

DIM, HEADS = 16, 4


def fused(s, x):
    """Queries, keys and values (batch, heads, tokens, dims) of one projection."""
    b, n, _ = x.shape
    return s.qkv(x).reshape(b, n, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)


def split(s, x):
    b, n, _ = x.shape
    parts = s.qkv(x).chunk(3, -1)
    return [p.view(b, n, HEADS, -1).transpose(1, 2) for p in parts]


def joined(y):
    return y.transpose(1, 2).flatten(2)


def own(q, k, v):
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v


def masked(q, k, v):
    n = q.shape[-2]
    mask = torch.full((n, n), -1e9, dtype=q.dtype).triu(1)
    return torch.softmax(q @ k.mT / 2 + mask, -1) @ v


def batched(q, k, v):
    """Samples and heads in one axis."""
    b, h, n, _ = q.shape
    q, k, v = (t.reshape(b * h, n, -1) for t in (q, k, v))
    y = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)
    return y.view(b, h, n, -1)


READ = {"fused": fused, "split": split}
ATTEND = {
    "operation": F.scaled_dot_product_attention,
    "causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "own": own,
    "masked": masked,
    "batched": batched,
}


def attention(read, attend):
    return Lambda(
        lambda s, x: s.out(joined(ATTEND[attend](*READ[read](s, x)))),
        qkv=nn.Linear(8, 3 * DIM), out=nn.Linear(DIM, 5),
    )  # fmt: skip


def left(small):
    """Rows left of the projection, and columns left of the layer that reads the heads."""
    tensors = small.model.state_dict()
    return tensors["qkv.weight"].shape[0], tensors["out.weight"].shape[1]


@pytest.mark.parametrize("attend", ATTEND)
@pytest.mark.parametrize("read", READ)
def test_a_head_that_feeds_nothing_goes_whole(read, attend, compacted):
    network = attention(read, attend)
    zero_columns(network.out, *range(4), *range(8, 12))
    small = compacted(network, (6, 8))
    assert left(small) == (3 * DIM // 2, DIM // 2)
    assert small.report.opaque == ()


@pytest.mark.parametrize("attend", ATTEND)
def test_dims_of_values_go_where_every_head_can_give_up_as_many(attend, compacted):
    network = attention("fused", attend)
    dead = [2 * DIM + d for d in (0, 3, 5, 8, 9, 10, 12)]
    zero_rows(network.qkv, *dead, bias=0)
    # One of four dims dies in the second head, so that one goes from every head.
    assert left(compacted(network, (6, 8))) == (3 * DIM - HEADS, DIM - HEADS)


@pytest.mark.parametrize("attend", ATTEND)
def test_dims_of_queries_and_keys_go_where_either_is_zero(attend, compacted):
    network = attention("fused", attend)
    zero_rows(network.qkv, 0, 6, DIM + 1, DIM + 11, bias=0)
    zero_rows(network.qkv, 12, bias=0)
    # Head by head 2, 1, 1, 1 of the four products are zero: one goes everywhere.
    assert left(compacted(network, (6, 8))) == (3 * DIM - 2 * HEADS, DIM)


def test_a_constant_key_is_not_seen_by_softmax(compacted):
    network = attention("fused", "operation")
    zero_rows(network.qkv, *(DIM + d for d in (0, 4, 8, 12)), bias=0.7)
    assert left(compacted(network, (6, 8))) == (3 * DIM - 2 * HEADS, DIM)


def test_constant_values_move_into_the_bias(compacted):
    network = attention("fused", "operation")
    zero_rows(network.qkv, *(2 * DIM + d for d in (0, 4, 8, 12)), bias=0.7)
    assert left(compacted(network, (6, 8))) == (3 * DIM - HEADS, DIM - HEADS)


def test_constants_of_queries_and_keys_still_add_up(compacted):
    """No softmax behind: the product of two constants counts, though neither is live."""
    network = Lambda(
        lambda s, x: torch.bmm(s.q(x), s.k(x).transpose(1, 2)), q=nn.Linear(3, 4), k=nn.Linear(3, 4)
    )
    zero_rows(network.q, 0, 1, bias=1.5)
    zero_rows(network.k, 0, bias=2.0)
    zero_rows(network.k, 2, bias=0)
    small = compacted(network, (5, 3))
    assert small.model.state_dict()["q.weight"].shape[0] == 3


def test_a_linear_layer_viewed_as_a_map_loses_whole_channels(compacted, widths):
    network = Lambda(
        lambda s, x: s.b(F.relu(s.a(x)).view(-1, 8, 3, 3)), a=nn.Linear(5, 72), b=nn.Conv2d(8, 2, 3)
    )
    zero_columns(network.b, 0, 3, 4)
    zero_rows(network.a, *range(9, 18), 63, bias=0)
    assert widths(compacted(network, (5,))) == {"a": 36, "b": 2}


def test_a_pixel_shuffle_loses_whole_channels(compacted, widths):
    network = nn.Sequential(
        nn.Conv2d(3, 24, 1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1),
        nn.PixelUnshuffle(2), nn.Conv2d(20, 2, 1),
    )  # fmt: skip
    zero_columns(network[3], 1, 4)
    zero_columns(network[5], *range(4, 8), 9)
    assert widths(compacted(network, (3, 4, 4))) == {"0": 16, "3": 4, "5": 2}


def test_windows_leave_channels_what_they_are(compacted, widths):
    def windows(s, x):
        y = s.a(x).permute(0, 2, 3, 1)
        b, h, w, c = y.shape
        y = y.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        return s.b(y.tanh()).view(b, -1, 2)

    network = Lambda(windows, a=nn.Conv2d(3, 6, 1), b=nn.Linear(6, 2))
    zero_columns(network.b, 0, 5)
    small = compacted(network, (3, 4, 4))
    assert widths(small) == {"a": 4, "b": 2}
    assert small.report.opaque == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("attend", ATTEND)
def test_attention_with_random_zeros_stays_the_same_function(attend, seed, compacted):
    network = thin_out(attention(list(READ)[seed % 2], attend), (0.3, 0.6)[seed // 2], seed)
    with torch.no_grad():
        network.qkv.bias[torch.rand(3 * DIM) < 0.6] = 0
    compacted(network, (6, 8))


def test_what_has_one_place_along_an_axis_is_joined_along_it(compacted, widths):
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
            with torch.no_grad():
                self.first.weight[:3] = 0
                self.first.bias[:3] = 0

        def forward(self, x):
            place = torch.arange(5, dtype=x.dtype).reshape(5, 1)
            return self.last(torch.relu(self.first(x))) + torch.cat((place, place, place), 1)

    assert widths(compacted(Places(), (5, 4)))["first"] == 5
