"""The one question put to every compacted network: is it the same function, and not larger?"""

import pytest
import torch
from same_function import assert_same_function, numbers

from tl1bench.compaction import compact


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    torch.manual_seed(0)


@pytest.fixture
def compacted():
    """Compact in float64, check what must hold for every network, return the result."""

    def run(network, shape, **options):
        network = network.double()
        x = torch.randn(2, *shape, dtype=torch.float64)
        before = {k: v.clone() for k, v in network.state_dict().items()}
        flags = [m.training for m in network.modules()]
        small = compact(network, (x,), **options)
        assert [m.training for m in network.modules()] == flags
        assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
        for batch in (1, 5):
            fresh = torch.randn(batch, *shape, dtype=torch.float64)
            assert_same_function(network, small.model, fresh)
        assert not any(m.training for m in small.model.modules())
        assert numbers(small.model) <= numbers(network)
        assert small.report.macs_after <= small.report.macs_before
        assert small.report.weights_after <= small.report.weights_before
        return small

    return run


@pytest.fixture
def widths():
    """Units left, layer by layer."""
    return lambda small: {layer.name: layer.units_after for layer in small.report.layers}
