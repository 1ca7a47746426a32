"""Arguments of traced calls are read by their names, wherever they stand."""

import pytest
import torch
from torch import fx

from tl1bench.tracing import arguments


@pytest.fixture
def call():
    """A slice `x[:, 2:]` that leaves `end` and `step` out, and gives `start` by name."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    return graph.call_function(torch.ops.aten.slice.Tensor, (x, 1), {"start": 2})


def test_only_what_a_call_gives_is_given(call):
    assert arguments.given(call) == {"self": call.args[0], "dim": 1, "start": 2}


def test_defaults_complete_a_call(call):
    found = arguments.complete(call)
    assert found == {"self": call.args[0], "dim": 1, "start": 2, "end": None, "step": 1}


def test_positions_reach_as_far_as_the_call_or_what_is_asked_for(call):
    assert list(arguments.positional(call, upto="dim").values()) == [call.args[0], 1, 2]
    assert list(arguments.positional(call, upto="end")) == ["self", "dim", "start", "end"]


def test_one_input_is_a_tuple_of_one():
    x = torch.ones(2)
    assert arguments.as_tuple(x) == (x,)
    assert arguments.as_tuple([x, x]) == (x, x)
