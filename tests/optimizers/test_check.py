"""Nothing goes unpenalised silently: the page before training, the table, names, warnings."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import tl1bench as tl
from tl1bench.errors import ConfigError


class Mixed(nn.Module):
    """A matrix of its own beside layers, and an operation that no rule follows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.inner = nn.Linear(6, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm((1, 8))
        self.own = nn.Parameter(torch.randn(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.inner(torch.relu(self.first(x))))
        return self.norm(hidden[:, None])[:, 0] @ self.own


X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
PENALTY = tl.penalties.load("integrated_tl1", lam=0.01)


def test_the_page_says_what_is_penalised_what_could_leave_and_what_cannot() -> None:
    check = tl.check(Mixed(), X)
    assert list(check.penalised) == ["first.weight", "inner.weight"]
    assert check.weights == (6 * 8 + 8 * 8, 8 + 8 + 8 + 8 + 24)
    assert [(f.count, f.made_by, f.read_by) for f in check.could_leave] == [
        (8, ("first",), ("inner",))
    ]
    reasons = {f.reason for f in check.must_stay}
    assert "network input" in reasons
    assert any("layer_norm" in reason for reason in reasons)
    page = str(check)
    assert "could leave: 8 of " in page
    assert "Mixed is no layer whose weights are known: name it in penalise=" in page
    assert len(page.splitlines()) < 40


def test_the_page_of_a_large_network_is_one_page() -> None:
    model = nn.Sequential(*[nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(60)])
    page = str(tl.check(model, X))
    assert "… and 40 more" in page
    assert len(page.splitlines()) < 90


def test_what_cannot_be_traced_is_said_on_the_page() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum() > 0 else self.layer(-x)

    check = tl.check(Branching(), X)
    assert check.outlook is None
    assert str(check).startswith("not traced: Branching cannot be traced")
    assert list(check.penalised) == ["layer.weight"]


def test_units_that_could_leave_do_leave() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    (family,) = tl.check(model, X).could_leave
    with torch.no_grad():
        model[2].weight[:, :5] = 0
    assert family.count == 8
    assert tl.compact(model, X).report.layers[0].units_after == 3


@pytest.mark.parametrize("kind", [tl.ProximalSGD, tl.ProximalAdam, tl.RMDA])
def test_a_matrix_that_nobody_knows_is_warned_about_until_it_is_named(kind) -> None:
    with pytest.warns(UserWarning, match=r"not penalised: own \(Mixed is no layer"):
        kind(Mixed(), PENALTY, lr=0.1, example_inputs=X)
    model = Mixed()
    optimizer = kind(
        model, tl.penalties.load("integrated_tl1", lam=0.5), lr=0.1, example_inputs=X,
        penalise=["own", "*.weight"],
    )  # fmt: skip
    for _ in range(5):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        optimizer.step()
    assert (model.own == 0).any()
    with pytest.warns(UserWarning, match="nothing is penalised"):
        kind([nn.Parameter(torch.ones(3))], tl.penalties.load("l1"), lr=0.1)


def test_penalise_takes_names_patterns_or_a_function() -> None:
    def chosen(penalise) -> list[str]:
        optimizer = tl.ProximalSGD(Mixed(), PENALTY, lr=0.1, example_inputs=X, penalise=penalise)
        return [row.name for row in optimizer.table() if row.penalty]

    assert chosen("first.weight") == ["first.weight"]
    assert chosen(["inner.*"]) == ["inner.weight", "inner.bias"]
    assert chosen(lambda name, p: p.numel() == 24) == ["own"]
    with pytest.raises(ConfigError, match=r"names first.wieght, .* is it first.weight"):
        chosen("first.wieght")


def by_elements(name: str, p: torch.Tensor) -> bool:
    return name.startswith("own") or p.numel() == 12


@pytest.mark.parametrize("kind", ["tl1", "integrated_tl1"])
def test_penalise_holds_for_parameters_that_are_added_later(kind: str) -> None:
    def added(penalise, group: object = None, copied: bool = False) -> list[str]:
        penalty = tl.penalties.load(kind, lam=0.1)
        given = [("own", nn.Parameter(torch.ones(3, 2))), ("out", nn.Parameter(torch.ones(2, 2)))]
        optimizer = tl.ProximalSGD(given, penalty, lr=0.1, penalise=penalise)
        if copied:
            optimizer = copy.deepcopy(optimizer)
        head = nn.Linear(4, 3)
        later = {"params": head.named_parameters()}
        optimizer.add_param_group(later if group is None else {**later, "penalise": group})
        before = {row.name: optimizer._named[row.name].clone() for row in optimizer.table()}
        for p in optimizer._named.values():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        changed = [n for n, old in before.items() if not torch.equal(old, optimizer._named[n])]
        assert changed == [row.name for row in optimizer.table() if row.penalty]
        return changed[1:]

    assert added("own") == []
    assert added(["own", "*"], "bias") == ["out", "bias"]
    assert added("o*", ["weight"]) == ["out", "weight"]
    assert added(by_elements) == added(by_elements, copied=True) == ["weight"]
    assert added(lambda name, _: name != "out") == ["weight", "bias"]
    with pytest.raises(ConfigError, match="names head, which is no parameter here"):
        added("own", "head")
    with pytest.raises(ConfigError, match=r'say by "penalise" in the added group whether weight'):
        added(lambda _, p: p.dim() > 1, copied=True)
    assert added(lambda _, p: p.dim() > 1, "weight", copied=True) == ["out", "weight"]


def test_what_penalise_leaves_out_later_is_in_the_table() -> None:
    optimizer = tl.ProximalSGD(
        [("own", nn.Parameter(torch.ones(3, 2)))], PENALTY, 0.1, penalise="own"
    )
    optimizer.add_param_group({"params": nn.Linear(2, 2).named_parameters()})
    assert [row.reason for row in optimizer.table()] == ["", "penalise= leaves it out", "a vector"]


def test_groups_in_what_is_not_penalised_are_refused() -> None:
    from tl1bench import neurons

    model = Mixed()
    with pytest.raises(ConfigError, match=r"groups lie in inner.weight, which is not penalised"):
        tl.ProximalSGD(
            model, PENALTY, lr=0.1, groups=neurons.groups(model, X), penalise="first.weight"
        )


def test_weights_without_a_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no shape yet: run the network once"):
        tl.ProximalSGD(nn.Sequential(nn.LazyLinear(3)), PENALTY, lr=0.1, example_inputs=X)


@pytest.mark.filterwarnings("ignore:not penalised")
def test_the_table_lists_every_parameter() -> None:
    model = Mixed()
    model.norm.requires_grad_(False)
    optimizer = tl.ProximalSGD(model, PENALTY, lr=0.1, example_inputs=X, layer_weights=[1.0, 0.5])
    table = {row.name: row for row in optimizer.table()}
    assert list(table) == [name for name, _ in model.named_parameters()]
    assert table["first.weight"].penalty == "integrated_tl1 λ=0.01 μ=0.8"
    assert table["first.weight"].groups == "6 of 8"
    assert table["inner.weight"].penalty == "integrated_tl1 λ=0.01 μ=0.2 c=0.5"
    assert table["first.bias"].reason == "a bias"
    assert table["norm.weight"].reason == "rests: requires_grad is False"
    assert not table["norm.weight"].trained
    told = repr(optimizer)
    assert all(name in told for name in table)
    assert "momentum: 0.9" in told


LAYERS = {
    "lstm": lambda: nn.LSTM(6, 5, batch_first=True),
    "gru": lambda: nn.GRU(6, 5, batch_first=True),
    "attention": lambda: nn.TransformerEncoderLayer(6, 2, 12, dropout=0.0, batch_first=True),
}


@pytest.mark.parametrize("side", ["outgoing", "incoming"])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_weight_of_sequence_networks_gets_zeros(kind: str, side: str) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.layer = nn.Embedding(9, 6), LAYERS[kind]()
            self.head = nn.Linear(6 if kind == "attention" else 5, 3)

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            x = self.layer(self.embed(words))
            return self.head((x if kind == "attention" else x[0]).mean(1))

    model = Sequence()
    words = torch.randint(0, 9, (16, 4), generator=torch.Generator().manual_seed(0))
    penalty = tl.penalties.load("integrated_tl1", lam=0.05)
    optimizer = tl.ProximalAdam(model, penalty, lr=0.01, example_inputs=words, groups=side)
    for _ in range(15):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(words), words[:, 0] % 3).backward()
        optimizer.step()
    matrices = {n: p for n, p in model.named_parameters() if p.dim() > 1}
    assert all((p == 0).any() for p in matrices.values())
    assert {row.name for row in optimizer.table() if row.penalty} == set(matrices)
