"""What cannot be traced is named by the line of the network that it comes from."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tl1bench.errors import CompactionError
from tl1bench.tracing.capture import trace


class Decides(nn.Module):
    def forward(self, x):
        if x.sum() > 0:  # here
            return x
        return -x


class Draws(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, training=True)  # here


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1  # here
        return x * self.calls


class Foreign(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.detach().numpy())  # here


class Fails(nn.Module):
    def forward(self, x):
        return x @ x  # here


@pytest.mark.parametrize("kind", [Decides, Draws, Counts, Foreign, Fails])
def test_the_line_is_named(kind):
    with pytest.raises(CompactionError, match=r"test_origin\.py:\d+ \(.*# here\)"):
        trace(kind(), (torch.randn(2, 4),))
