"""Widths that are multiples of a number: the same function, dead units as zeros, counted."""

import pytest
import torch
from hand_networks import (
    Grouped,
    Lambda,
    Residual,
    Separable,
    Shuffle,
    randomise,
    zero_columns,
    zero_rows,
)
from test_compact import thin_out
from torch import nn

from tl1bench.compaction import compact
from tl1bench.compaction.decide import PADDING
from tl1bench.errors import CompactionError

NETWORKS = {
    Residual: (3, 8, 8),
    Separable: (3, 6, 6),
    Grouped: (3, 5, 5),
    Shuffle: (3, 6, 6),
}


def chain():
    """Return 6 → 16 → 24 → 3, of which 5 and 11 hidden units are read."""
    network = nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3)
    )
    zero_columns(network[2], *range(5, 16))
    zero_columns(network[4], *range(11, 24))
    return network


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layer_keeps_a_multiple_or_all_that_it_had(compacted, kind):
    small = compacted(thin_out(randomise(kind()), 0.5, 5), NETWORKS[kind], align=2)
    for layer in small.report.layers:
        assert layer.units_after % 2 == 0 or layer.units_after == layer.units_before


@pytest.mark.parametrize(("align", "units"), [(1, (5, 11)), (4, (8, 12)), (16, (16, 16))])
def test_padding_is_counted_and_named(compacted, widths, align, units):
    small = compacted(chain(), (6,), align=align)
    first, second = units
    assert widths(small) == {"0": first, "2": second, "4": 3}
    cost = 6 * first + first * second + second * 3
    assert small.report.weights_after == small.report.macs_after == cost
    assert small.report.layers[0].reasons == {
        "used": 5,
        **({PADDING: first - 5} if first > 5 else {}),
    }
    assert tuple(small.model.get_parameter("2.weight").shape) == (second, first)


def test_a_constant_unit_that_pads_still_counts_for_its_readers(compacted, widths):
    network = chain()
    zero_rows(network[0], 3, 4, bias=0.7)
    assert widths(compacted(network, (6,)))["0"] == 3
    assert widths(compacted(network, (6,), align=4))["0"] == 4


def test_a_layer_reads_a_multiple_of_its_inputs(compacted):
    network = nn.Sequential(nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, 3))
    zero_columns(network[0], *range(3), *range(12, 40))
    for align, read in {1: 9, 8: 16, 32: 32, 64: 40}.items():
        small = compacted(network, (40,), align=align)
        assert small.report.layers[0].inputs_after == read
    zero_columns(network[0], *range(5, 10))
    for align, read in {1: 4, 8: 8}.items():
        small = compacted(network, (40,), gather=0.5, align=align)
        assert small.report.layers[0].inputs_after == read


def test_units_of_recurrent_layers_come_in_multiples(compacted, widths):
    network = Lambda(
        lambda s, x: s.h(s.r(x)[0][:, -1]), r=nn.GRU(5, 8, batch_first=True), h=nn.Linear(8, 3)
    )
    with torch.no_grad():
        network.h.weight[:, 3:] = 0
        for gate in range(3):
            network.r.weight_hh_l0[8 * gate : 8 * gate + 3, 3:] = 0
    assert widths(compacted(network, (6, 5)))["r.l0"] == 3
    assert widths(compacted(network, (6, 5), align=4))["r.l0"] == 4


def test_a_multiple_of_nothing_is_refused():
    with pytest.raises(CompactionError, match="align is 0: give a whole number from 1 on"):
        compact(nn.Linear(3, 2), torch.randn(2, 3), align=0)
