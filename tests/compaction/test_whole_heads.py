"""Heads that go whole: beside numbers that differ from dim to dim, and with masks of their own."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from torch import nn
from torch.nn import functional as F


def heads(x):
    return x.unflatten(-1, (2, 4))


def attention(function, **layers):
    return Lambda(
        function, q=nn.Linear(5, 8), k=nn.Linear(5, 8), v=nn.Linear(5, 8), out=nn.Linear(8, 3),
        **layers,
    )  # fmt: skip


def projections(s, x, *order):
    return (heads(layer(x)).permute(order) for layer in (s.q, s.k, s.v))


def turned(x):
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def rotary(s, x):
    """Turn by angles that are computed anew for every call."""
    q, k, v = projections(s, x, 0, 2, 1, 3)
    place = torch.arange(x.shape[1])[None].expand(x.shape[0], -1)[:, None].to(x.dtype)
    angle = (s.speed[None, :, None].expand(x.shape[0], -1, 1) @ place).transpose(1, 2)
    angle = torch.cat((angle, angle), -1)[:, None]
    q, k = (t * angle.cos() + turned(t) * angle.sin() for t in (q, k))
    return s.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def over_channels(s, x):
    """Attend over the dims of each head, as cross-covariance attention does."""
    q, k, v = projections(s, x, 0, 2, 3, 1)
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * s.heat
    return s.out((scores.softmax(-1) @ v).permute(0, 3, 1, 2).flatten(2))


def by_angle(s, x):
    """Compare the directions of queries and keys."""
    q, k, v = projections(s, x, 0, 2, 1, 3)
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * s.heat
    return s.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def masked(s, x):
    q, k, v = projections(s, x, 0, 2, 1, 3)
    return s.out(F.scaled_dot_product_attention(q, k, v, s.mask).transpose(1, 2).flatten(2))


def looked_up(s, x):
    """Add to the scores what a table has for the distance, which depends on the input."""
    q, k, v = projections(s, x, 0, 2, 1, 3)
    place = (x[0, :, 0] > 0).long().cumsum(0)
    mask = s.table(place[None] - place[:, None] + 6).permute(2, 0, 1)[None]
    return s.out(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))


NETWORKS = {
    "rotary": (rotary, {"speed": (2,)}, {}),
    "over channels": (over_channels, {"heat": (2, 1, 1)}, {}),
    "by angle": (by_angle, {"heat": (2, 1, 1)}, {}),
    "masked": (masked, {"mask": (1, 2, 6, 6)}, {}),
    "looked up": (looked_up, {}, {"table": (13, 2)}),
}


def network(name):
    function, tensors, tables = NETWORKS[name]
    found = attention(function, **{own: nn.Embedding(*size) for own, size in tables.items()})
    for own, shape in tensors.items():
        found.register_parameter(own, nn.Parameter(torch.randn(shape)))
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_a_head_that_nobody_reads_goes(compacted, name):
    given = network(name)
    zero_columns(given.out, *range(4))
    left = dict(compacted(given, (6, 5)).model.state_dict())
    assert {n: left[f"{n}.weight"].shape[0] for n in "qkv"} == {"q": 4, "k": 4, "v": 4}
    for own, heads_lie in (("heat", 0), ("mask", 1), ("table.weight", 1)):
        assert own not in left or left[own].shape[heads_lie] == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_dims_here_and_there_leave_the_same_function(compacted, name):
    given = network(name)
    zero_columns(given.out, 0, 3, 6)
    zero_rows(given.q, 1, 5, bias=0)
    zero_rows(given.k, 2, 5, bias=0.5)
    zero_rows(given.v, 0, 4, 7, bias=0.0)
    compacted(given, (6, 5))


def test_a_mask_of_all_layers_keeps_the_heads_that_any_of_them_needs(compacted):
    def twice(s, x):
        return masked(s, F.pad(masked(s, x), (0, 2)))

    given = network("masked")
    given.function = twice
    zero_columns(given.out, *range(4))
    assert compacted(given, (6, 5)).model.state_dict()["mask"].shape == (1, 1, 6, 6)


def test_two_layers_of_which_each_needs_another_head_share_a_mask(compacted):
    given = network("masked")
    given.a, given.b = network("masked"), network("masked")
    given.a.mask = given.b.mask = given.mask
    given.function = lambda s, x: s.a(x) + s.b(x)
    zero_columns(given.a.out, *range(4))
    zero_columns(given.b.out, *range(4, 8))
    left = compacted(given, (6, 5)).model.state_dict()
    assert left["mask"].shape == (1, 2, 6, 6)
