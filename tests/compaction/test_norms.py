"""Sums over channels: zeros leave them, and what is left is scaled to what it was."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from test_compact import thin_out
from torch import nn
from torch.nn import functional as F

WIDTH = 8


def rms(x, eps=1e-3):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


NORMS = {
    "module": lambda s, x: s.norm(x),
    "module, ε of the type": lambda s, x: F.rms_norm(x, (WIDTH,), s.scale),
    "module without a weight": lambda s, x: F.rms_norm(x, (WIDTH,), None, 1e-2),
    "written out": lambda s, x: rms(x) * s.scale,
    "written out without the dimension": lambda s, x: (
        x * torch.rsqrt((x * x).mean(-1).unsqueeze(-1) + 1e-3)
    ),
    "length": lambda s, x: F.normalize(x, dim=-1),
    "sum of magnitudes": lambda s, x: x / (1 + x.abs().sum(-1, keepdim=True)),
    "length spread": lambda s, x: x / (1 + x.norm(dim=-1, keepdim=True).expand(-1, WIDTH)),
}


def between(norm):
    network = Lambda(
        lambda s, x: s.b(NORMS[norm](s, torch.relu(s.a(x)))),
        a=nn.Linear(3, WIDTH), norm=nn.RMSNorm(WIDTH, eps=1e-2), b=nn.Linear(WIDTH, 2),
        scale=nn.Parameter(torch.rand(WIDTH) + 0.5),
    )  # fmt: skip
    network.norm.weight.data.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("norm", NORMS)
def test_zeros_leave_a_norm(norm, compacted, widths):
    network = between(norm)
    zero_rows(network.a, 1, 4, 5, bias=-1)
    small = compacted(network, (3,))
    assert widths(small) == {"a": 5, "b": 2}
    assert small.report.opaque == ()


@pytest.mark.parametrize("norm", NORMS)
def test_what_nobody_reads_still_counts_in_a_norm(norm, compacted, widths):
    network = between(norm)
    zero_columns(network.b, 0, 1, 2)
    zero_rows(network.a, 7, bias=-1)
    assert widths(compacted(network, (3,))) == {"a": 7, "b": 2}


@pytest.mark.parametrize("norm", ["module", "written out", "module without a weight"])
def test_constants_that_nobody_reads_leave_a_norm_of_squares(norm, compacted, widths):
    network = between(norm)
    zero_rows(network.a, 1, 4, bias=0.8)
    zero_columns(network.b, 1, 4)
    assert widths(compacted(network, (3,))) == {"a": 6, "b": 2}


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_that_another_branch_pins_stays_a_zero_in_the_norm(norm, compacted):
    """The label stays for others; the norm must still see 0, not what happens to be there."""

    def forward(s, x):
        gate = torch.sigmoid(s.c(x))
        return s.b(NORMS[norm](s, torch.relu(s.a(x)) * gate)) + s.d(gate)

    network = Lambda(
        forward, a=nn.Linear(3, WIDTH), norm=nn.RMSNorm(WIDTH), b=nn.Linear(WIDTH, 2),
        c=nn.Linear(3, WIDTH), d=nn.Linear(WIDTH, 2), scale=nn.Parameter(torch.rand(WIDTH)),
    )  # fmt: skip
    zero_rows(network.a, 0, 1, 2, bias=-1)
    compacted(network, (3,))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("norm", NORMS)
def test_norms_between_random_zeros_stay_the_same_function(norm, seed, compacted):
    network = thin_out(between(norm), 0.4, seed)
    network.a.bias.data[torch.rand(WIDTH) < 0.5] = 0
    network.norm.weight.data[seed] = 0
    compacted(network, (3,))


@pytest.mark.parametrize("tracked", [False, True])
def test_instance_norm_loses_channels_and_knows_its_constants(tracked, compacted, widths):
    norm = nn.InstanceNorm2d(6, affine=True, track_running_stats=tracked)
    network = nn.Sequential(nn.Conv2d(3, 6, 1), norm, nn.Conv2d(6, 2, 1))
    norm.weight.data.uniform_(0.5, 1.5)
    norm.bias.data.normal_()
    if tracked:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    zero_rows(network[0], 1, bias=0.7)
    norm.weight.data[3] = 0
    zero_columns(network[2], 5)
    assert widths(compacted(network, (3, 5, 5))) == {"0": 3, "2": 2}


@pytest.mark.parametrize("equation", ["bnd,od->bno", "bnd,do->bno", "...d,od->...o"])
def test_an_einsum_with_a_known_matrix_is_a_layer(equation, compacted):
    shape = (6, 4) if ",od" in equation else (4, 6)
    network = Lambda(
        lambda s, x: s.b(torch.relu(torch.einsum(equation, x, s.w))),
        w=nn.Parameter(torch.randn(shape)), b=nn.Linear(6, 2),
    )  # fmt: skip
    zero_columns(network.b, 0, 4)
    small = compacted(network, (5, 4))
    assert sorted(small.model.state_dict()["w"].shape) == [4, 4]
    assert small.report.opaque == ()
