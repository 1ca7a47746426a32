"""Shrinking while training: the same function, a living optimiser, and the way back."""

import copy
import functools
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tl1bench import neurons, optimizers, penalties
from tl1bench.training.shrinking import shrink


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.bn = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.b = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.c, self.d = nn.Conv2d(6, 5, 1), nn.Linear(5 * 9, 8)
        self.e = nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.b(F.relu(self.bn(self.a(x)))))
        x = F.max_pool2d(F.relu(self.c(x)), 2).flatten(1)
        return self.e(F.relu(self.d(x)))


X = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def trained():
    """A network after one optimiser step, with units that nobody reads."""
    torch.manual_seed(0)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(X).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        network.c.weight[:, [1, 4]] = 0
        network.d.weight[:, 9:18] = 0
        network.e.weight[:, [0, 7]] = 0
    return network, optimizer


def evaluate(network, x=X):
    return copy.deepcopy(network).eval()(x).detach()


def test_unread_units_leave_and_nothing_else_changes(trained):
    network, optimizer = trained
    before, parameters = evaluate(network), list(network.parameters())
    done = shrink(network, optimizer, neurons.units(network, X), X)
    assert (done.removed, done.refused) == (5, "")
    torch.testing.assert_close(evaluate(network), before)
    assert all(p is q for p, q in zip(network.parameters(), parameters, strict=True))
    assert (network.a.out_channels, network.bn.num_features) == (4, 4)
    assert (network.b.in_channels, network.b.out_channels, network.b.groups) == (4, 4, 4)
    assert (network.c.in_channels, network.c.out_channels) == (4, 4)
    assert (network.d.in_features, network.d.out_features) == (36, 6)
    assert (network.e.in_features, network.e.out_features) == (6, 3)


def test_the_optimiser_goes_on(trained):
    network, optimizer = trained
    moment = optimizer.state[network.d.weight]["exp_avg"].clone()
    shrink(network, optimizer, neurons.units(network, X), X)
    columns = [i for i in range(45) if not 9 <= i < 18]
    assert torch.equal(optimizer.state[network.d.weight]["exp_avg"], moment[1:7][:, columns])
    assert network.d.weight.grad is None
    network(X).sum().backward()
    optimizer.step()


def test_removal_goes_on_until_nothing_is_unread(trained):
    network, optimizer = trained
    with torch.no_grad():
        # Channel 3 of c is read only by hidden unit 2, which nobody reads.
        network.d.weight[:, 27:36] = 0
        network.d.weight[2, 27:36] = 1
        network.e.weight[:, 2] = 0
    shrink(network, optimizer, neurons.units(network, X), X)
    assert network.c.out_channels == 3
    assert network.d.out_features == 5


def test_units_and_groups_are_renewed_without_tracing(trained):
    network, optimizer = trained
    groups = {side: neurons.groups(network, X, side) for side in neurons.SIDES}
    done = shrink(network, optimizer, neurons.units(network, X), X)
    parameters = dict(network.named_parameters())
    for fresh, kept in zip(neurons.units(network, X), done.units, strict=True):
        assert (fresh.count, fresh.removable) == (kept.count, kept.removable)
        for a, b in zip(
            fresh.produced + fresh.consumed, kept.produced + kept.consumed, strict=True
        ):
            assert (a.tensor, a.dim) == (b.tensor, b.dim)
            assert torch.equal(a.index, b.index)
    for side, old in groups.items():
        for a, b in zip(
            neurons.groups(network, X, side), done.groups(old, parameters), strict=True
        ):
            assert (a.layer, a.count, a.members) == (b.layer, b.count, b.members)
            assert torch.equal(a.gather(parameters), b.gather(parameters))


def test_expanding_after_two_shrinks_gives_the_original_shapes_and_function(trained):
    network, optimizer = trained
    full = copy.deepcopy(network)
    first = shrink(network, optimizer, neurons.units(network, X), X)
    with torch.no_grad():
        network.e.weight[:, 1] = 0
        network.a.bias += 0.1
    second = shrink(network, optimizer, first.units, X, previous=first)
    assert second.removed == 1
    state = second.expand(network.state_dict())
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in full.state_dict().items()
    }
    full.load_state_dict(state)
    assert full.e.weight.any(dim=0).nonzero().flatten().tolist() == [1, 3, 4, 5, 6]
    torch.testing.assert_close(evaluate(full), evaluate(network))


def test_a_family_never_leaves_entirely(trained):
    network, optimizer = trained
    with torch.no_grad():
        network.e.weight.zero_()
    before = evaluate(network)
    shrink(network, optimizer, neurons.units(network, X), X)
    # The unit that stays still reads what it read.
    assert (network.d.out_features, network.c.out_channels) == (1, 4)
    torch.testing.assert_close(evaluate(network), before)


@pytest.mark.parametrize(
    ("align", "columns", "features"),
    # One column of e is alive, three, five: the multiple above, and never more than there were.
    [(1, 1, 1), (2, 1, 2), (4, 1, 4), (4, 3, 4), (4, 5, 8), (3, 5, 6), (3, 7, 8), (16, 5, 8)],
)
def test_the_fewest_dead_units_stay_that_make_a_multiple(trained, align, columns, features):
    network, optimizer = trained
    with torch.no_grad():
        network.e.weight.zero_()
        network.e.weight[:, -columns:] = 1
    before, rows = evaluate(network), network.d.weight.detach().clone()
    found = shrink(network, optimizer, neurons.units(network, X), X, align=align)
    assert network.d.out_features == network.e.in_features == features
    # The first of the dead, then all that live, as they were to the bit.
    kept = [*range(features - columns), *range(8 - columns, 8)]
    width = network.d.in_features
    taken = found.kept.get(("d.weight", 1), torch.arange(45))
    assert torch.equal(network.d.weight, rows[kept][:, taken])
    assert width == len(taken)
    torch.testing.assert_close(evaluate(network), before)


def test_what_stayed_for_a_multiple_leaves_with_the_next_that_die(trained):
    network, optimizer = trained
    first = shrink(network, optimizer, neurons.units(network, X), X, align=4)
    widths = network.a.out_channels, network.c.out_channels, network.d.out_features
    assert widths == (4, 4, 8)  # 4 of 6 live, 4 of 5, 6 of 8
    with torch.no_grad():
        network.e.weight[:, [1, 2]] = 0
    before = evaluate(network)
    second = shrink(network, optimizer, first.units, X, first, align=4)
    assert network.d.out_features == 4
    assert second.kept["d.weight", 0].tolist() == [3, 4, 5, 6]
    torch.testing.assert_close(evaluate(network), before)


def test_inputs_stay_even_when_nobody_reads_them():
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network[1].weight[:, :10] = 0
        network[3].weight[:, 0] = 0
    done = shrink(network, None, neurons.units(network, X), X)
    assert (done.removed, done.refused) == (1, "")
    assert network[1].weight.shape == (3, 36)


def test_nothing_happens_without_unread_units():
    network = Network()
    done = shrink(network, None, neurons.units(network, X), X)
    assert (done.removed, done.refused, dict(done.kept)) == (0, "", {})


class Literal(nn.Module):
    """A forward pass that only works at the original width."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, groups=1), nn.Conv2d(4, 4, 1, groups=4)
        self.c = nn.Linear(4, 2)

    def forward(self, x):
        return self.c(self.b(self.a(x)).amax((2, 3)).reshape(-1, 4))


def test_literal_sizes_are_found_and_everything_is_put_back():
    network = Literal()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(X).sum().backward()
    optimizer.step()
    with torch.no_grad():
        network.c.weight[:, 0] = 0
    before, state = evaluate(network), copy.deepcopy(network.state_dict())
    momentum = optimizer.state[network.c.weight]["momentum_buffer"].clone()
    done = shrink(network, optimizer, neurons.units(network, X), X)
    assert done.removed == 0
    assert "literal sizes" in done.refused
    assert torch.equal(evaluate(network), before)
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert torch.equal(optimizer.state[network.c.weight]["momentum_buffer"], momentum)
    assert (network.b.groups, network.b.in_channels, network.a.out_channels) == (4, 4, 4)
    assert network.c.weight.grad is not None


def classifier():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * 4, 16), nn.ReLU(), nn.Linear(16, 3),
    )  # fmt: skip


def trained_proximally(name, penalty, shrink_at, freeze_at=80):
    """Train in float64 on a stream of batches.

    Returns the network, its state in the original shapes and which hidden units each step saw dead.
    """
    network = classifier().double()
    x = X.double()
    optimizer = optimizers.kind(name)(
        network, penalties.load(penalty, lam=0.03), lr={"proximal_sgd": 0.05, "rmda": 0.3}[name],
        momentum=0.5, example_inputs=x,
    )  # fmt: skip
    found, last, dead = neurons.units(network, x), None, []
    for t in range(120):
        generator = torch.Generator().manual_seed(t)
        batch = torch.randn(32, 1, 6, 6, generator=generator, dtype=torch.float64)
        labels = (batch.mean((1, 2, 3)) * 6).round().clamp(-1, 1).long() + 1
        if t == freeze_at:
            optimizer.freeze_zeros()
        optimizer.zero_grad()
        F.cross_entropy(network(batch), labels).backward()
        optimizer.step()
        dead.append((network[6].weight == 0).all(0))
        if t in shrink_at:
            last = shrink(network, optimizer, found, x, last)
            found = last.units
            if last.removed:
                parameters = dict(network.named_parameters())
                optimizer.regroup(last.groups(optimizer.groups, parameters))
    state = network.state_dict() if last is None else last.expand(network.state_dict())
    return network, state, dead


@pytest.mark.parametrize(
    ("name", "penalty", "shrink_at"),
    [
        ("proximal_sgd", "l1", range(9, 120, 10)),
        ("rmda", "l1", range(9, 120, 10)),
        ("proximal_sgd", "group_lasso", range(80, 120, 10)),
        ("rmda", "group_lasso", range(80, 120, 10)),
    ],
)
def test_without_revivals_the_result_is_that_of_training_without_shrinking(
    name, penalty, shrink_at
):
    """To the rounding of float64: elementwise penalties throughout, any penalty in debiasing."""
    _, plain, dead = trained_proximally(name, penalty, ())
    small, shrunk, _ = trained_proximally(name, penalty, shrink_at)
    # The condition: whoever is dead at a moment of shrinking stays dead without the switch too.
    assert all((dead[-1] | ~dead[t]).all() for t in shrink_at)
    assert 0 < small[4].out_features < 16
    full, expanded = classifier().double(), classifier().double()
    full.load_state_dict(plain)
    expanded.load_state_dict(shrunk)
    torch.testing.assert_close(evaluate(expanded, X.double()), evaluate(full, X.double()))
    alive = (plain["6.weight"] != 0).any(0).nonzero().flatten()
    for entry, dim in (("6.weight", 1), ("4.weight", 0), ("4.bias", 0)):
        torch.testing.assert_close(
            shrunk[entry].index_select(dim, alive),
            plain[entry].index_select(dim, alive),
            rtol=0,
            atol=1e-10,
        )


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", optimizers.names())
def test_a_state_saved_after_shrinking_resumes_bit_for_bit(name, frozen):
    """Bits, not numbers: a network of the small shape finds the original scales in the state."""
    network = classifier()
    make = functools.partial(
        optimizers.kind(name),
        penalty=penalties.load("integrated_tl1", lam=0.01),
        lr=0.01,
        example_inputs=X,
        weight_decay=1e-3,
    )
    optimizer = make(network)

    def steps(model, driver, times):
        for t in times:
            x = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(t))
            driver.zero_grad()
            model(x).square().mean().backward()
            driver.step()

    steps(network, optimizer, range(5))
    if frozen:
        optimizer.freeze_zeros()
        steps(network, optimizer, range(5, 7))
    with torch.no_grad():
        network[6].weight[:, [2, 5, 11]] = 0
        network[4].weight[:, 4:8] = 0
    done = shrink(network, optimizer, neurons.units(network, X), X)
    assert done.removed >= 4
    optimizer.regroup(done.groups(optimizer.groups, dict(network.named_parameters())))
    steps(network, optimizer, range(10, 13))
    again = copy.deepcopy(network)
    resumed = make(again)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for model, driver in ((network, optimizer), (again, resumed)):
        steps(model, driver, range(20, 26))
    assert all(map(torch.equal, network.parameters(), again.parameters()))
    assert torch.equal(optimizer.penalty_value(), resumed.penalty_value())
