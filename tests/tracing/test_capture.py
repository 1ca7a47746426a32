"""What can be traced, what is refused and why, and other weights for a graph that is there."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tl1bench.errors import CompactionError
from tl1bench.tracing.capture import trace


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class Noisy(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=True)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, dtype=torch.complex64))

    def forward(self, x):
        return x * self.weight


def broken(value):
    network = nn.Linear(4, 4)
    network.weight.data[0, 0] = value
    return network


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Counting(), "changes 'calls'"),
        (Noisy(), "random numbers"),
        (broken(float("nan")), "not finite"),
        (broken(float("inf")), "not finite"),
        (Complex(), "complex64"),
    ],
)
def test_refusals_give_their_reason(network, reason):
    with pytest.raises(CompactionError, match=reason):
        trace(network, (torch.randn(2, 4),))


def test_inputs_without_a_batch_are_refused():
    with pytest.raises(CompactionError, match="at least 2"):
        trace(nn.Linear(4, 4), (torch.randn(1, 4),))
    with pytest.raises(CompactionError, match="tuple of tensors"):
        trace(nn.Linear(4, 4), ())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w.pop("a.bias"), "lack 'a.bias'"),
        (lambda w: w.update(c=torch.ones(1)), "no tensor 'c'"),
        (lambda w: w.update({"a.bias": torch.ones(3)}), r"\(3,\), but torch.float32 \(4,\)"),
        (lambda w: w.update({"a.bias": torch.ones(4).double()}), "float64"),
        (lambda w: w.update({"a.bias": torch.full((4,), torch.nan)}), "not finite"),
        (lambda w: w.update({"b.weight": torch.ones(4, 4)}), "one tensor when traced"),
    ],
)
def test_weights_of_another_network_are_refused(change, reason):
    network = Tied()
    weights = dict(network.state_dict())
    change(weights)
    with pytest.raises(CompactionError, match=reason):
        trace(network, (torch.randn(2, 4),)).with_weights(weights)
