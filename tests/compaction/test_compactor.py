"""One trace serves many sets of weights, and gives what a trace of its own would give."""

import pytest
import torch
from hand_networks import Residual, Separable, Shared, randomise
from same_function import assert_same_function
from test_compact import thin_out
from torch import nn

from tl1bench.compaction import Compactor, compact


class Masked(nn.Module):
    """Its weights reach the network through an expression that must be folded anew."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.register_buffer("mask", torch.ones(6, 1))
        self.register_buffer("scale", torch.full((6,), 2.0), persistent=False)

    def forward(self, x):
        return self.b(nn.functional.linear(x, self.a.weight * self.mask, self.a.bias) * self.scale)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(Residual, (3, 8, 8)), (Separable, (3, 6, 6)), (Shared, (5,)), (Masked, (4,))],
)
def test_a_shared_trace_gives_what_a_trace_of_its_own_gives(kind, shape):
    x = torch.randn(2, *shape, dtype=torch.float64)
    compactor = Compactor(kind().double(), x)
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = thin_out(randomise(kind()), 0.4, seed).double()
        if kind is Masked:
            network.mask[seed] = 0
        shared, own = compactor.compact(network.state_dict()), compact(network, x)
        assert shared.report == own.report
        assert shared.model.code == own.model.code
        torch.testing.assert_close(
            shared.model.state_dict(), own.model.state_dict(), rtol=0, atol=0
        )
        assert_same_function(network, shared.model, torch.randn(5, *shape, dtype=torch.float64))


def test_without_weights_the_traced_ones_count():
    network = thin_out(randomise(Residual()), 0.4, 3).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert Compactor(network, x).compact().report == compact(network, x).report


def test_compacting_leaves_the_given_weights_alone():
    network = thin_out(Residual(), 0.4, 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Compactor(Residual(), torch.randn(2, 3, 8, 8)).compact(network.state_dict())
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
