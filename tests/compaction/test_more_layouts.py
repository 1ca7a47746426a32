"""Views as another tensor, choices between branches, sums along one of several axes of channels."""

import torch
from hand_networks import Lambda, zero_columns, zero_rows
from torch import nn


def test_a_view_as_another_tensor_is_a_view(compacted, widths):
    def normalised(s, x):
        y = s.a(x)
        return s.b(torch.relu(s.norm(y.flatten(0, 1)).reshape_as(y)).view_as(y))

    network = Lambda(normalised, a=nn.Linear(5, 8), norm=nn.BatchNorm1d(8), b=nn.Linear(8, 3))
    zero_columns(network.b, 0, 1, 5)
    assert widths(compacted(network, (6, 5))) == {"a": 5, "b": 3}


def test_a_tensor_that_is_written_over_is_what_it_was_written_over_with(compacted, widths):
    def over(s, x):
        y = s.a(x).clone()
        y[:] = torch.relu(y) * 2
        return s.b(y.type_as(x))

    network = Lambda(over, a=nn.Linear(5, 8), b=nn.Linear(8, 3))
    zero_columns(network.b, 0, 1, 5)
    small = compacted(network, (6, 5))
    assert widths(small) == {"a": 5, "b": 3}
    assert small.report.opaque == ()


def selected(s, x):
    """Weigh two branches channel by channel."""
    both = torch.stack([torch.relu(s.a(x)), torch.relu(s.b(x))], 1)
    gate = s.gate(both.sum(1).mean((2, 3), keepdim=True)).unflatten(1, (2, 8)).softmax(1)
    return s.out((both * gate).sum(1))


def split(s, x):
    """Weigh two halves of one layer's channels, as a ResNeSt does."""
    both = torch.relu(s.a(x)).unflatten(1, (2, 8))
    gate = s.gate(both.sum(1).mean((2, 3), keepdim=True)).view(x.shape[0], 1, 2, 8)
    gate = gate.transpose(1, 2).softmax(1).reshape(x.shape[0], 2, 8, 1, 1)
    return s.out((both * gate).sum(1))


def test_both_branches_lose_what_nobody_reads(compacted, widths):
    network = Lambda(
        selected, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(3, 8, 1), gate=nn.Conv2d(8, 16, 1),
        out=nn.Conv2d(8, 3, 1),
    )  # fmt: skip
    for layer in (network.out, network.gate):
        zero_columns(layer, 0, 1, 5)
    assert widths(compacted(network, (3, 6, 6))) == {"a": 5, "b": 5, "gate": 10, "out": 3}


def test_both_halves_lose_what_nobody_reads(compacted, widths):
    network = Lambda(split, a=nn.Conv2d(3, 16, 1), gate=nn.Conv2d(8, 16, 1), out=nn.Conv2d(8, 3, 1))
    for layer in (network.out, network.gate):
        zero_columns(layer, 0, 1, 5)
    assert widths(compacted(network, (3, 6, 6))) == {"a": 10, "gate": 10, "out": 3}


def test_a_half_that_is_zero_still_competes(compacted):
    network = Lambda(split, a=nn.Conv2d(3, 16, 1), gate=nn.Conv2d(8, 16, 1), out=nn.Conv2d(8, 3, 1))
    zero_rows(network.gate, 0, 9, bias=0.5)
    zero_rows(network.a, 0, 8, 3, bias=0)
    compacted(network, (3, 6, 6))


def test_a_softmax_over_channels_keeps_all_of_them(compacted, widths):
    network = Lambda(lambda s, x: s.b(s.a(x).softmax(-1)), a=nn.Linear(5, 8), b=nn.Linear(8, 3))
    zero_columns(network.b, *range(7))
    small = compacted(network, (6, 5))
    assert widths(small) == {"a": 8, "b": 3}
    assert small.report.opaque == ()


def test_lengths_of_rows_lose_rows(compacted, widths):
    network = Lambda(
        lambda s, x: s.b(torch.linalg.vector_norm(s.a(x).unflatten(-1, (2, 4)), dim=-1)),
        a=nn.Linear(5, 8), b=nn.Linear(2, 3),
    )  # fmt: skip
    zero_columns(network.b, 0)
    assert widths(compacted(network, (6, 5))) == {"a": 4, "b": 3}
