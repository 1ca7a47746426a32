"""What holds for every network: sameness, idempotence, an oracle, refusals, files."""

import copy

import pytest
import torch
from hand_networks import (
    Attention,
    Dense,
    Grouped,
    Residual,
    Separable,
    Shared,
    Shuffle,
    SqueezeExcite,
    randomise,
    zero_rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from same_function import assert_same_function, numbers
from torch import nn
from torch.nn import functional as F

from tl1bench.compaction import compact, load_compacted
from tl1bench.errors import CompactionError

NETWORKS = {
    Residual: (3, 8, 8),
    Dense: (3, 6, 6),
    Separable: (3, 6, 6),
    Grouped: (3, 5, 5),
    SqueezeExcite: (3, 6, 6),
    Shuffle: (3, 6, 6),
    Shared: (5,),
    Attention: (5, 8),
}


def thin_out(network, share, seed):
    """Zero whole rows and columns of all weights, at random."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                module.weight[torch.rand(len(module.weight), generator=draw) < share] = 0
                module.weight[:, torch.rand(module.weight.shape[1], generator=draw) < share] = 0
            if isinstance(module, nn.BatchNorm2d):
                module.weight[torch.rand(len(module.weight), generator=draw) < share] = 0
    return network


class Random(nn.Module):
    """A chain of random layers with sums, products and concatenations of earlier results."""

    def __init__(self, seed):
        super().__init__()
        self.draw = torch.Generator().manual_seed(seed)
        self.layers, self.plan, channels = nn.ModuleList(), [], [3]
        for _ in range(5):
            kind, source = self.pick(7), self.pick(len(channels))
            width = channels[source]
            partners = [i for i, c in enumerate(channels) if c == width]
            partner = partners[self.pick(len(partners))]
            layer: nn.Module = nn.Identity()
            if kind == 0:
                layer = nn.Conv2d(width, 4, 3, padding=1)
            elif kind == 1:
                layer = nn.Conv2d(width, width, 3, padding=1, groups=width)
            elif kind == 2:
                layer = nn.Sequential(nn.Conv2d(width, 6, 1, bias=False), nn.BatchNorm2d(6))
            elif kind == 3:
                layer = nn.AvgPool2d(3, stride=1, padding=1)
            self.layers.append(layer)
            self.plan.append((kind, source, partner, self.pick(4)))
            after = {0: 4, 2: 6, 6: width + channels[partner]}
            channels.append(after.get(kind, width))
        self.head = nn.Linear(channels[-1] + channels[-2], 2)

    def pick(self, count):
        return int(torch.randint(count, (), generator=self.draw))

    def forward(self, x):
        values = [x]
        for layer, step in zip(self.layers, self.plan, strict=True):
            values.append(self.joined(layer(values[step[1]]), step, values))
        return self.headed(values[-1], values[-2])

    def joined(self, y, step, values):
        """Return what a step makes of a layer's output and an earlier value."""
        kind, _, partner, shape = step
        if kind == 4:
            y = y + values[partner]
        elif kind == 5:
            y = y * torch.sigmoid(values[partner])
        elif kind == 6:
            y = torch.cat([y, values[partner]], 1)
        return (torch.relu, torch.tanh, F.hardswish, torch.clone)[shape](y)

    def headed(self, last, before):
        return self.head(torch.cat([last.mean((2, 3)), before.amax((2, 3))], 1))


def check_random_network(seed, share):
    torch.manual_seed(seed)
    network = thin_out(randomise(Random(seed)), share, seed).double()
    small = compact(network, torch.randn(2, 3, 6, 6, dtype=torch.float64))
    assert_same_function(network, small.model, torch.randn(3, 3, 6, 6, dtype=torch.float64))
    assert numbers(small.model) <= numbers(network)
    assert small.report.macs_after <= small.report.macs_before


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.2, 0.5, 0.9]))
def test_random_networks_stay_the_same_function(seed, share):
    check_random_network(seed, share)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_many_random_networks_stay_the_same_function(share):
    for seed in range(100):
        check_random_network(seed, share)


@pytest.mark.parametrize("kind", NETWORKS)
def test_compacting_twice_changes_nothing_more(kind, compacted):
    network = thin_out(randomise(kind()), 0.4, 3)
    once = compacted(network, NETWORKS[kind])
    twice = compacted(once.model, NETWORKS[kind])
    # A constant layer's bias may be stored in the shape in which it is added.
    assert sorted(v.numel() for v in twice.model.state_dict().values()) == sorted(
        v.numel() for v in once.model.state_dict().values()
    )


@pytest.mark.parametrize("kind", NETWORKS)
def test_without_zeros_every_shape_stays(kind, compacted):
    network = randomise(kind())
    small = compacted(network, NETWORKS[kind])
    assert sorted(p.shape for p in small.model.parameters()) == sorted(
        p.shape for p in network.parameters()
    )


@pytest.mark.parametrize("kind", [Residual, Dense, Separable, SqueezeExcite, Shuffle])
def test_no_parameter_that_left_had_an_influence(kind, compacted):
    """Oracle: a random change of the weights of a removed filter never reaches the output."""
    network = thin_out(randomise(kind()), 0.4, 5).double()
    x = torch.randn(3, *NETWORKS[kind], dtype=torch.float64)
    small = compacted(network, NETWORKS[kind])
    needed = {name: value for name, value in small.model.named_parameters()}
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        # Filters whose perturbation matters must all have found a place in the compact network.
        matter = 0
        for channel in range(len(layer.weight)):
            changed = copy.deepcopy(network)
            changed.get_submodule(name).weight.data[channel] += 1.0
            changed.get_submodule(name).bias.data[channel] += 1.0
            if bool((layer.weight[channel] != 0).any()):
                with torch.no_grad():
                    matter += bool((changed.eval()(x) - network.eval()(x)).abs().max() > 1e-12)
        left = len(needed[f"{name}.weight"]) if f"{name}.weight" in needed else 0
        assert left >= matter


def test_training_flags_and_dtype_survive(compacted):
    network = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.9), nn.ReLU(), nn.Linear(6, 2))
    network.train()
    network[1].eval()
    zero_rows(network[0], 1, 2)
    compacted(network, (4,))
    single = compact(network.float(), torch.randn(3, 4))
    assert {p.dtype for p in single.model.parameters()} == {torch.float32}
    assert network.training
    assert not network[1].training


def test_several_inputs_and_outputs_keep_their_structure():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 5), nn.Linear(4, 5)

        def forward(self, x, y):
            return {"sum": self.a(x) + self.b(y), "pair": (torch.relu(self.a(x)), y)}

    network = Two()
    inputs = (torch.randn(2, 3), torch.randn(2, 4))
    found, expected = compact(network, inputs).model(*inputs), network(*inputs)
    assert found.keys() == expected.keys()
    torch.testing.assert_close(found["pair"], expected["pair"])
    torch.testing.assert_close(found["sum"], expected["sum"])


def test_in_place_operations_on_views_are_understood(compacted):
    class Tricky(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            y = self.a(x)
            half = y[:, :3]
            y.relu_()
            return self.b(y) + half.sum(1, keepdim=True)

    network = Tricky()
    zero_rows(network.a, 0, bias=-1)
    compacted(network, (4,))


def test_what_reads_a_tensor_after_it_was_changed_in_place_sees_the_change(compacted):
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x):
            y = self.a(x)
            early = self.b(y)
            F.relu(y, inplace=True)
            return self.b(y) - early

    compacted(Late(), (4,))


def test_a_saved_network_comes_back_the_same(tmp_path, compacted):
    network = thin_out(randomise(Residual()), 0.4, 3)
    small = compacted(network, (3, 8, 8))
    small.save(tmp_path / "small.pt2")
    again = load_compacted(tmp_path / "small.pt2")
    x = torch.randn(7, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(again(x), small.model(x), rtol=0, atol=0)
    assert again.state_dict().keys() == small.model.state_dict().keys()
    assert not again.training


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "small.pt2").write_bytes(b"not a network")
    for name in ("small.pt2", "missing.pt2"):
        with pytest.raises(CompactionError, match=f"{name} is no exported program"):
            load_compacted(tmp_path / name)
    (tmp_path / "small.safetensors").write_bytes(b"not a network")
    for name in ("small.safetensors", "missing.safetensors"):
        with pytest.raises(CompactionError, match=f"{name} is no compacted network"):
            load_compacted(tmp_path / name)
