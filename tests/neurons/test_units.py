"""Every weight is in the groups it belongs to; units name what makes and what reads them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tl1bench import neurons


class Small(nn.Module):
    """Convolution, normalisation, residual sum, depthwise, grouped, flatten, linear."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.same = nn.Conv2d(6, 6, 3, padding=1)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.grouped = nn.Conv2d(6, 4, 1, groups=2)
        self.fc, self.out = nn.Linear(4 * 9, 7), nn.Linear(7, 3)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = F.relu(x + self.same(x))
        x = F.max_pool2d(self.grouped(self.depth(x)), 2)
        return self.out(F.relu(self.fc(x.flatten(1))))


def perceptron():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 4), nn.Linear(4, 3)
    )


@pytest.fixture(params=["perceptron", "convolutional"])
def case(request):
    if request.param == "perceptron":
        return perceptron(), torch.randn(2, 1, 4, 4)
    return Small(), torch.randn(2, 2, 6, 6)


def count_members(network, groups):
    """How many groups each weight is in."""
    seen = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for block in groups:
        block.scatter_(seen, block.gather(seen) + 1)
    return {name: seen[name] for name in neurons.weight_layers(network)}, seen


@pytest.mark.parametrize("side", ["outgoing", "incoming", "as_coded"])
def test_every_weight_is_in_exactly_one_group(case, side):
    network, x = case
    weights, everything = count_members(network, neurons.groups(network, x, side))
    assert all((seen == 1).all() for seen in weights.values())
    assert sum(seen.sum() for seen in everything.values()) == sum(
        w.numel() for w in weights.values()
    )


def test_both_sides_count_every_weight_twice(case):
    network, x = case
    weights, _ = count_members(network, neurons.groups(network, x, "both"))
    assert all((seen == 2).all() for seen in weights.values())


def test_a_list_chooses_the_side_of_each_layer(case):
    network, x = case
    sides = ["incoming", *["outgoing"] * (len(neurons.weight_layers(network)) - 2), "as_coded"]
    weights, _ = count_members(network, neurons.groups(network, x, sides))
    assert all((seen == 1).all() for seen in weights.values())


@pytest.mark.parametrize("side", neurons.SIDES)
def test_scatter_undoes_gather(case, side):
    network, x = case
    parameters = dict(network.named_parameters())
    for block in neurons.groups(network, x, side):
        values = torch.randn(block.count, block.members)
        block.scatter_(parameters, values)
        assert torch.equal(block.gather(parameters), values)


def test_outgoing_groups_are_columns_and_incoming_groups_rows():
    network, x = perceptron(), torch.randn(2, 1, 4, 4)
    parameters = dict(network.named_parameters())
    first = neurons.groups(network, x, "outgoing")[0]
    assert (first.layer, first.layers, first.count, first.members) == (0, 3, 16, 5)
    assert torch.equal(first.gather(parameters), network[1].weight.T)
    assert torch.equal(
        neurons.groups(network, x, "incoming")[0].gather(parameters), network[1].weight
    )


def test_the_columns_behind_a_flatten_belong_to_their_channel():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    first, last = neurons.groups(network, torch.randn(2, 1, 4, 4))
    assert (last.count, last.members) == (3, 8)
    found = last.gather(dict(network.named_parameters()))
    expected = network[2].weight.reshape(2, 3, 4).movedim(1, 0)
    assert torch.equal(found.reshape(3, 4, 2), expected.transpose(1, 2))
    assert (first.count, first.members) == (1, 27)


def test_a_residual_stream_has_the_union_of_its_readers_as_groups():
    groups = neurons.groups(Small(), torch.randn(2, 2, 6, 6))
    stream = groups[1]
    assert [piece.tensor for piece in stream.slices] == [
        "same.weight",
        "depth.weight",
        "grouped.weight",
    ]
    assert (stream.count, stream.members) == (6, 6 * 9 + 9 + 2)


class Concatenated(nn.Module):
    """A dense block: what comes in is read by a layer and, beside its output, by the next."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)
        self.grow = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(7, 2, 1)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        return self.last(torch.cat([x, F.relu(self.grow(x))], dim=1))


def test_a_concatenated_stream_has_the_union_of_its_readers_as_groups():
    network, x = Concatenated(), torch.randn(2, 2, 5, 5)
    parameters = dict(network.named_parameters())
    _, stream, grown = neurons.groups(network, x)
    assert (stream.layer, stream.count, stream.members) == (1, 3, 4 * 9 + 2)
    assert (grown.layer, grown.count, grown.members) == (2, 4, 2)
    both = torch.cat(
        [network.grow.weight.movedim(1, 0).flatten(1), network.last.weight[:, :3, 0, 0].T], dim=1
    )
    assert torch.equal(stream.gather(parameters), both)
    assert torch.equal(grown.gather(parameters), network.last.weight[:, 3:, 0, 0].T)


@pytest.mark.parametrize("side", neurons.SIDES)
def test_concatenated_streams_can_be_grouped_from_every_side(side):
    network, x = Concatenated(), torch.randn(2, 2, 5, 5)
    weights, _ = count_members(network, neurons.groups(network, x, side))
    assert all((seen == (2 if side == "both" else 1)).all() for seen in weights.values())


def test_a_grouped_convolution_is_read_block_by_block():
    network = nn.Sequential(nn.Conv2d(2, 6, 1), nn.Conv2d(6, 4, 1, groups=2))
    block = neurons.groups(network, torch.randn(2, 2, 3, 3))[1]
    found = block.gather(dict(network.named_parameters()))
    weight = network[1].weight[:, :, 0, 0]
    for channel in range(6):
        q, p = divmod(channel, 3)
        assert torch.equal(found[channel], weight[2 * q : 2 * q + 2, p])


def test_as_coded_takes_every_kernel_position_by_itself():
    network = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1))
    first = neurons.groups(network, torch.randn(2, 2, 5, 5), "as_coded")[0]
    assert (first.count, first.members) == (2 * 9, 6)
    found = first.gather(dict(network.named_parameters()))
    assert torch.equal(found[5], network[0].weight[:, 0, 1, 2])


def test_groups_are_written_back_whatever_the_memory_format():
    network = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 3))
    network.to(memory_format=torch.channels_last)
    parameters = dict(network.named_parameters())
    for side in neurons.SIDES:
        for block in neurons.groups(network, torch.randn(2, 2, 7, 7), side):
            values = torch.randn(block.count, block.members)
            block.scatter_(parameters, values)
            assert torch.equal(block.gather(parameters), values)


def test_units_name_what_makes_and_what_reads_them():
    families = neurons.units(Small(), torch.randn(2, 2, 6, 6))
    stream = next(u for u in families if u.count == 6)
    assert {s.tensor for s in stream.produced} >= {
        "stem.weight", "stem.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var",
        "same.weight", "same.bias", "depth.weight", "depth.bias",
    }  # fmt: skip
    assert {(s.tensor, s.dim) for s in stream.consumed} == {
        ("same.weight", 1), ("depth.weight", 0), ("grouped.weight", 1),
    }  # fmt: skip


def test_units_are_followed_through_a_reordering_of_channels():
    class Swapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            x = self.a(x)
            return self.b(torch.cat([x[:, 2:], x[:, :2]], dim=1))

    hidden = neurons.units(Swapped(), torch.randn(2, 3))[1]
    assert [piece.index.flatten().tolist() for piece in hidden.produced] == [[0, 1, 2, 3]] * 2
    assert [piece.index.flatten().tolist() for piece in hidden.consumed] == [[2, 3, 0, 1]]


def test_inputs_outputs_and_grouped_channels_are_not_removable():
    families = neurons.units(Small(), torch.randn(2, 2, 6, 6))
    assert [(u.count, u.removable) for u in families] == [
        (2, False), (6, False), (4, False), (7, True), (3, False),
    ]  # fmt: skip


def test_weights_computed_from_parameters_pin_their_units():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            return F.linear(torch.relu(self.a(x)), self.b.weight.abs(), self.b.bias)

    network = Masked()
    assert not any(u.removable for u in neurons.units(network, torch.randn(2, 4)))
    weights, _ = count_members(network, neurons.groups(network, torch.randn(2, 4)))
    assert all((seen == 1).all() for seen in weights.values())


def test_the_model_and_its_training_flag_are_untouched():
    network = perceptron().train()
    network[3].eval()
    neurons.units(network, torch.randn(1, 1, 4, 4))
    assert network.training
    assert not network[3].training


def test_an_unknown_side_is_refused():
    with pytest.raises(ValueError, match="side must be"):
        neurons.groups(perceptron(), torch.randn(2, 1, 4, 4), "sideways")
    with pytest.raises(ValueError, match="3 layers"):
        neurons.groups(perceptron(), torch.randn(2, 1, 4, 4), ["incoming"])
