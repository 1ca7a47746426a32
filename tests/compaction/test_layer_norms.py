"""LayerNorm over channels of which some are constants: it is padded to what it was."""

import pytest
import torch
from hand_networks import Lambda, zero_columns, zero_rows
from test_compact import thin_out
from torch import nn

WIDTH = 16
DEAD = (0, 1, 2, 5, 9)


def between(affine=True, bias=True):
    norm = nn.LayerNorm(WIDTH, elementwise_affine=affine, bias=bias)
    network = nn.Sequential(nn.Linear(4, WIDTH), norm, nn.Linear(WIDTH, 3))
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return network


@pytest.mark.parametrize(("affine", "bias"), [(True, True), (True, False), (False, False)])
def test_zeros_that_nobody_reads_leave_a_layer_norm(compacted, widths, affine, bias):
    network = between(affine, bias)
    zero_rows(network[0], *DEAD, bias=0)
    zero_columns(network[2], *DEAD)
    small = compacted(network, (7, 4))
    assert widths(small) == {"0": 11, "2": 3}
    assert small.report.opaque == ()


@pytest.mark.parametrize("constants", [[0.7] * 5, [0.7, -2, 0, 1.3, 0.1], [1.0, 1, 1, 1, -4]])
def test_constants_that_nobody_reads_leave_whatever_they_are(compacted, widths, constants):
    network = between()
    zero_rows(network[0], *DEAD, bias=torch.tensor(constants))
    zero_columns(network[2], *DEAD)
    small = compacted(network, (4,))
    assert widths(small) == {"0": 11, "2": 3}
    assert widths(compacted(small.model, (4,))) == {"0": 11, "2": 3}


def test_too_few_channels_stay_since_padding_takes_time_too(compacted, widths):
    network = between()
    zero_rows(network[0], 3)
    zero_columns(network[2], 3)
    small = compacted(network, (4,))
    assert widths(small) == {"0": WIDTH, "2": 3}
    assert small.report.layers[0].reasons == {"used": 15, "too few to leave layer_norm": 1}


def test_a_scale_of_zero_gives_its_shift_to_the_reader(compacted, widths):
    network = between()
    zero_rows(network[0], *DEAD)
    network[1].weight.data[list(DEAD)] = 0
    assert widths(compacted(network, (4,))) == {"0": 11, "2": 3}


def test_constants_alone_come_out_as_constants(compacted, widths):
    network = Lambda(
        lambda s, x: s.b(s.n(s.a(x))) + s.c(x),
        a=nn.Linear(4, WIDTH), n=nn.LayerNorm(WIDTH), b=nn.Linear(WIDTH, 3), c=nn.Linear(4, 3),
    )  # fmt: skip
    zero_rows(network.a, *range(WIDTH))
    network.a.bias.data.normal_()
    assert widths(compacted(network, (4,)))["c"] == 3


class Block(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm, self.up, self.down = norm, nn.Linear(WIDTH, 24), nn.Linear(24, WIDTH)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


def stream(shared, read=False):
    norms = [nn.LayerNorm(WIDTH)] * 3 if shared else [nn.LayerNorm(WIDTH) for _ in range(3)]
    blocks = [Block(norms[0]), Block(norms[1])]
    network = nn.Sequential(nn.Linear(4, WIDTH), *blocks, norms[2], nn.Linear(WIDTH, 2))
    for writer in (network[0], network[1].down, network[2].down):
        zero_rows(writer, *DEAD, bias=0)
    for reader in () if read else (network[1].up, network[2].up, network[4]):
        zero_columns(reader, *DEAD)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    return network


@pytest.mark.parametrize("shared", [False, True])
def test_a_stream_loses_its_zeros_in_all_that_write_and_read_it(compacted, widths, shared):
    small = compacted(stream(shared), (5, 4))
    assert widths(small) == {"0": 11, "1.up": 24, "1.down": 11, "2.up": 24, "2.down": 11, "4": 2}


def test_zeros_that_are_read_behind_a_norm_leave_but_for_one_of_them(compacted, widths):
    small = compacted(stream(shared=False, read=True), (5, 4))
    assert widths(small) == {"0": 12, "1.up": 24, "1.down": 12, "2.up": 24, "2.down": 12, "4": 2}
    assert widths(compacted(small.model, (5, 4)))["0"] == 12


@pytest.mark.parametrize("affine", [True, False])
def test_a_layer_that_reads_constants_alone_reads_one_of_them_and_all_that_moves_it(
    compacted, widths, affine
):
    network = between(affine)
    zero_rows(network[0], *DEAD, bias=0.7)
    zero_columns(network[2], *set(range(WIDTH)).difference(DEAD))
    small = compacted(network, (4,))
    assert widths(small) == {"0": 12, "2": 3}


HEADS = {
    "mean": lambda y: y.mean(1),
    "place": lambda y: y[:, 0],
    "one axis for samples and positions": lambda y: y.reshape(-1, WIDTH),
    "turned": lambda y: y.transpose(1, 2).mean(2),
}


@pytest.mark.parametrize("head", HEADS)
def test_positions_may_be_averaged_and_picked_between_norm_and_reader(compacted, widths, head):
    network = Lambda(
        lambda s, x: s.b(HEADS[head](s.n(s.a(x)))),
        a=nn.Linear(4, WIDTH), n=nn.LayerNorm(WIDTH), b=nn.Linear(WIDTH, 3),
    )  # fmt: skip
    zero_rows(network.a, *DEAD, bias=0)
    nn.init.normal_(network.n.bias)
    assert widths(compacted(network, (5, 4))) == {"a": 12, "b": 3}


@pytest.mark.parametrize("reader", ["output", "border", "several"])
def test_constants_behind_a_norm_stay_where_what_reads_them_cannot_fold(compacted, widths, reader):
    def forward(s, x):
        y = s.n(s.a(x))
        if reader == "border":
            return s.c(y.flatten(1)[:, :, None, None]).flatten(1)
        return y if reader == "output" else s.b(y) + s.b(torch.tanh(y))

    network = Lambda(
        forward, a=nn.Linear(4, WIDTH), n=nn.LayerNorm(WIDTH), b=nn.Linear(WIDTH, 3),
        c=nn.Conv2d(WIDTH, 3, 3, padding=1),
    )  # fmt: skip
    zero_rows(network.a, *DEAD, bias=0)
    assert widths(compacted(network, (4,)))["a"] == WIDTH


def test_what_is_compacted_once_stays_as_it_is_and_can_lose_more(compacted, widths):
    once = compacted(stream(shared=False), (5, 4)).model
    again = compacted(once, (5, 4))
    assert [n.target for n in again.model.graph.nodes if n.op == "call_function"] == [
        n.target for n in once.graph.nodes if n.op == "call_function"
    ]
    for name, tensor in once.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
        if name in ("0.weight", "0.bias", "1.down.weight", "1.down.bias", "2.down.weight",
                    "2.down.bias"):  # fmt: skip
            tensor[:3] = 0
        if name in ("1.up.weight", "2.up.weight", "4.weight"):
            tensor[:, :3] = 0
    assert widths(compacted(once, (5, 4)))["0"] == 8


def test_a_norm_of_one_group_is_one_over_channels(compacted, widths):
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(1, 8), nn.Conv2d(8, 3, 1))
    zero_rows(network[0], 0, 3, 4)
    zero_columns(network[2], 0, 3, 4)
    assert widths(compacted(network, (3, 6, 6))) == {"0": 5, "2": 3}


@pytest.mark.parametrize("seed", range(4))
def test_layer_norms_between_random_zeros_stay_the_same_function(seed, compacted):
    network = thin_out(stream(shared=seed > 2), 0.4, seed)
    compacted(network, (5, 4))
