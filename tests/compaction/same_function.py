"""Whether two networks compute the same, and how many numbers a network stores."""

import math

import torch


def assert_same_function(network, small, x):
    flags = {m: m.training for m in network.modules()}
    network.eval()
    with torch.no_grad():
        expected, found = network(x), small(x)
    for module, flag in flags.items():
        module.training = flag
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    error = (found - expected).abs().max().item()
    assert error <= 1e-10 * max(1.0, expected.abs().max().item()), error


def numbers(module):
    return sum(math.prod(t.shape) for t in module.state_dict().values())
