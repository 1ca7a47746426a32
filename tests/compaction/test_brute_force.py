"""Compaction comes as far as trying does, where no depthwise layer ties what others keep."""

import pytest
import torch
from brute_force import Minimiser, drawn, weights

from tl1bench.compaction import compact


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_no_more_weights_are_kept_than_trying_finds(share):
    checked = 0
    for seed in range(12):
        network = drawn(seed, share)
        whole = Minimiser(network)
        if whole.is_constant() or any(kind == 1 for kind, *_ in network.plan):
            continue
        assert weights(compact(network, whole.x).model) <= whole.least(1)
        checked += 1
    assert checked > 2


def test_trying_takes_nothing_that_is_read_and_notices_what_is_missing():
    network = drawn(0, 0.0)
    whole = Minimiser(network)
    assert whole.least(1) == weights(network)
    assert not whole.is_same(frozenset(whole.names[-1]))


def test_trying_finds_dead_units():
    network = drawn(1, 0.0)
    before = Minimiser(network).least(1)
    with torch.no_grad():
        network.head.weight[:, 1:] = 0
    assert Minimiser(network).least(1) < before
