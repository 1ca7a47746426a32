"""GroupNorm: groups go whole; a response that is normalised over positions and channels."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from torch import nn
from torch.nn import functional as F


def between(groups, affine=True):
    network = Lambda(
        lambda s, x: s.b(torch.relu(s.norm(s.a(x)))),
        a=nn.Conv2d(3, 8, 1), norm=nn.GroupNorm(groups, 8, affine=affine), b=nn.Conv2d(8, 3, 1),
    )  # fmt: skip
    if affine:
        nn.init.uniform_(network.norm.weight, 0.5, 1.5)
        nn.init.normal_(network.norm.bias)
    return network


@pytest.mark.parametrize(("groups", "left"), [(8, 5), (4, 6), (2, 8), (1, 8)])
def test_a_group_goes_when_none_of_its_channels_is_read(compacted, widths, groups, left):
    network = between(groups)
    zero_columns(network.b, 0, 1, 4)
    small = compacted(network, (3, 6, 6))
    assert widths(small) == {"a": left, "b": 3}
    assert small.report.opaque == ()


def test_constants_of_a_whole_group_are_constants_behind_it(compacted, widths):
    network = between(4, affine=False)
    zero_rows(network.a, 0, 1, 4)
    assert widths(compacted(network, (3, 6, 6))) == {"a": 6, "b": 3}


def test_a_scale_of_zero_makes_a_constant_though_its_group_stays(compacted, widths):
    network = between(4)
    network.norm.weight.data[[2, 6, 7]] = 0
    small = compacted(network, (3, 6, 6))
    assert widths(small) == {"a": 6, "b": 3}
    assert small.model.state_dict()["b.bias"].shape == (3,)


def test_a_channel_alone_in_its_group_is_its_shift_where_it_is_constant(compacted, widths):
    network = between(8)
    zero_rows(network.a, 1, 2)
    assert widths(compacted(network, (3, 6, 6))) == {"a": 6, "b": 3}


def response(s, x):
    """Return the global response normalisation of ConvNeXt V2."""
    y = F.gelu(s.a(x))
    length = torch.linalg.vector_norm(y, dim=(2, 3), keepdim=True)
    share = length / (length.mean(1, keepdim=True) + 1e-6)
    own = (t.view(1, -1, 1, 1) for t in (s.shift, s.scale))
    return s.b(y + torch.addcmul(*own, y * share))


def test_zeros_leave_a_normalised_response(compacted, widths):
    network = Lambda(response, a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(8, 3, 1))
    network.scale, network.shift = (nn.Parameter(torch.randn(8)) for _ in range(2))
    zero_rows(network.a, 0, 3, 4, bias=0)
    small = compacted(network, (3, 6, 6))
    assert widths(small) == {"a": 5, "b": 3}
    assert small.report.opaque == ()
