"""Weights that calls share, transposed, masked, indexed or in part: stored once, cut once."""

import pytest
import torch
from hand_networks import Lambda, zero_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from same_function import assert_same_function
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact, load_compacted
from tl1bench.export.direct import write_graph
from tl1bench.tracing.capture import trace

WIDTH = 6


def sizes(network):
    """Learnt numbers, numbers and bytes."""
    tensors = list(network.state_dict().values())
    learnt = sum(p.numel() for p in network.parameters())
    return (
        learnt,
        sum(t.numel() for t in tensors),
        sum(t.numel() * t.element_size() for t in tensors),
    )


def assert_no_larger(network, small, x):
    was, now = sizes(network), sizes(small)
    assert all(n <= w for n, w in zip(now, was, strict=True)), (was, now)
    proto = write_graph(trace(small, (x,)), ["x"], ["y"])
    if proto is not None:
        made = ("ints_", "number_", "place_")
        held = [t for t in proto.graph.initializer if not t.name.startswith(made)]
        assert sum(torch.Size(t.dims).numel() for t in held) <= was[1]


def shapes(small):
    return {name: tuple(t.shape) for name, t in small.model.state_dict().items()}


class Random(nn.Module):
    """A chain of linear layers whose weights are made of three matrices, a mask and a table."""

    def __init__(self, seed):
        super().__init__()
        self.draw = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterList(self.matrix() for _ in range(3))
        self.biases = nn.ParameterList(self.thin(torch.randn(WIDTH)) for _ in range(2))
        self.table = nn.Parameter(self.thin(torch.randn(WIDTH, 4)))
        self.register_buffer("mask", (self.random(WIDTH, WIDTH) < 0.7).float())
        self.register_buffer("index", torch.randint(4, (5,), generator=self.draw))
        self.plan = [[self.pick(9), self.pick(3), self.pick(3), self.pick(4)] for _ in range(5)]
        self.head = nn.Linear(WIDTH, 2)

    def random(self, *shape):
        return torch.rand(*shape, generator=self.draw)

    def pick(self, count):
        return int(torch.randint(count, (), generator=self.draw))

    def thin(self, tensor):
        tensor[self.random(len(tensor)) < 0.3] = 0
        return tensor

    def matrix(self):
        return nn.Parameter(self.thin(self.thin(torch.randn(WIDTH, WIDTH)).t().contiguous()).t())

    def made(self, kind, w):
        if kind == 0:
            return w.t()
        if kind == 1:
            return w * self.mask
        if kind == 2:
            return (w * self.mask).t()
        if kind == 3:
            return w / (1 + w.norm(dim=1, keepdim=True))
        if kind == 4:
            return torch.cat([w[:2], w[2:]])
        if kind == 5:
            return w[torch.arange(WIDTH).flip(0)]
        return w

    def forward(self, x):
        for kind, which, bias, act in self.plan:
            b = None if bias == 2 else self.biases[bias]
            y = F.linear(x, self.made(kind, self.weights[which]), b)
            if kind == 7:
                y = y + self.table[:, self.index].sum(1)
            elif kind == 8:
                parts = self.weights[which].chunk(2)
                y = torch.cat([F.linear(x, parts[1]), F.linear(x, parts[0])], -1)
            x = (torch.relu, torch.tanh, F.hardswish, torch.clone)[act](y)
        return self.head(x)


def check(seed):
    torch.manual_seed(seed)
    network = Random(seed).double()
    x = torch.randn(3, WIDTH, dtype=torch.float64)
    small = compact(network, x)
    assert_same_function(network, small.model, torch.randn(5, WIDTH, dtype=torch.float64))
    assert_no_larger(network, small.model, x)


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000))
def test_random_shared_weights_stay_the_same_function_and_never_grow(seed):
    check(seed)


@pytest.mark.slow
def test_many_random_shared_weights_stay_the_same_function_and_never_grow():
    for seed in range(100):
        check(seed)


def test_a_decoder_that_is_the_encoder_transposed_is_cut_with_it(compacted, tmp_path):
    network = Lambda(
        lambda s, x: F.linear(torch.relu(s.e(x)), s.e.weight.t(), s.b),
        e=nn.Linear(12, 8), b=nn.Parameter(torch.randn(12)),
    )  # fmt: skip
    zero_rows(network.e, 0, 5, bias=0)
    small = compacted(network, (12,))
    assert shapes(small) == {"e.weight": (6, 12), "e.bias": (6,), "b": (12,)}
    x = torch.randn(3, 12, dtype=torch.float64)
    for name in ("small.safetensors", "small.pt2"):
        small.save(tmp_path / name)
        again = load_compacted(tmp_path / name)
        torch.testing.assert_close(again(x), small.model(x), rtol=0, atol=0)
        assert sizes(again) == sizes(small.model)


def test_a_masked_encoder_and_its_transpose_are_one_weight(compacted):
    def forward(s, x):
        w = s.w * s.mask
        return F.linear(torch.tanh(F.linear(x, w)), w.t())

    network = Lambda(forward, w=nn.Parameter(torch.randn(8, 5)))
    network.register_buffer("mask", (torch.arange(8) > 2).float()[:, None])
    assert list(shapes(compacted(network, (5,))).values()) == [(5, 5)]


def test_a_look_up_in_a_small_table_stays_one_and_loses_dead_heads(compacted):
    def forward(s, x):
        q = s.q(x).unflatten(-1, (4, 3)).transpose(1, 2)
        scores = (q @ q.mT + s.table[:, s.index]).softmax(-1)
        return s.h((scores @ q).transpose(1, 2).flatten(2))

    network = Lambda(
        forward, q=nn.Linear(8, 12), table=nn.Parameter(torch.randn(4, 9)), h=nn.Linear(12, 2)
    )
    network.register_buffer("index", torch.randint(9, (6, 6)))
    network.h.weight.data[:, 3:6] = 0
    found = shapes(compacted(network, (6, 8)))
    assert found["table"] == (3, 9)
    assert found["index"] == (6, 6)


def test_parts_of_one_weight_are_cut_as_if_they_were_weights_of_their_own(compacted):
    def forward(s, x):
        a, b = s.w.split([4, 5])
        return s.p(torch.tanh(F.linear(x, a))) + s.q(torch.tanh(F.linear(x, b)))

    network = Lambda(
        forward, w=nn.Parameter(torch.randn(9, 3)), p=nn.Linear(4, 2), q=nn.Linear(5, 2)
    )
    network.p.weight.data[:, 1] = 0
    network.q.weight.data[:, :2] = 0
    found = compacted(network, (3,))
    assert sum(t.numel() for t in found.model.state_dict().values()) == 6 * 3 + 6 * 2 + 4


def test_a_part_and_the_whole_are_stored_once(compacted):
    network = Lambda(
        lambda s, x: s.p(torch.tanh(F.linear(x, s.w))) + F.linear(x, s.w[2:4]),
        w=nn.Parameter(torch.randn(6, 3)), p=nn.Linear(6, 2),
    )  # fmt: skip
    network.p.weight.data[:, [0, 2]] = 0
    # Row 2 feeds the second reader, row 0 nobody.
    assert shapes(compacted(network, (3,)))["w"] == (5, 3)


def test_what_reads_a_shared_weight_without_a_rule_keeps_it_whole(compacted):
    network = Lambda(
        lambda s, x: s.p(torch.tanh(F.linear(x, s.w))) + torch.hypot(x[:, None], s.w).sum(1)[:, :2],
        w=nn.Parameter(torch.randn(6, 3)), p=nn.Linear(6, 2),
    )  # fmt: skip
    network.p.weight.data[:, :3] = 0
    assert shapes(compacted(network, (3,)))["w"] == (6, 3)


def test_a_weight_of_two_thin_factors_stays_two(compacted):
    network = Lambda(
        lambda s, x: F.linear(torch.relu(F.linear(x, s.a @ s.b)), s.c),
        a=nn.Parameter(torch.randn(9, 2)), b=nn.Parameter(torch.randn(2, 9)),
        c=nn.Parameter(torch.randn(3, 9)),
    )  # fmt: skip
    compacted(network, (9,))


def test_masks_of_pruning_become_one_weight_without_its_dead_rows(compacted):
    from torch.nn.utils import prune

    network = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    prune.ln_structured(network[0], "weight", amount=0.5, n=2, dim=0)
    network[0].bias.data[network[0].weight_mask[:, 0] == 0] = 0
    found = shapes(compacted(network, (8,)))
    assert sorted(found.values()) == [(4,), (4, 16), (16,), (16, 8)]


def test_one_bias_of_two_layers_is_stored_once(compacted):
    network = Lambda(
        lambda s, x: s.c(torch.tanh(F.linear(x, s.v, s.b)) * torch.tanh(F.linear(x, s.w, s.b))),
        v=nn.Parameter(torch.randn(6, 3)), w=nn.Parameter(torch.randn(6, 3)),
        b=nn.Parameter(torch.randn(6)), c=nn.Linear(6, 2),
    )  # fmt: skip
    network.c.weight.data[:, 0] = 0
    network.v.data[1] = 0
    assert shapes(compacted(network, (3,)))["b"] == (5,)
