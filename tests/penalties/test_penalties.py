"""Penalties are found by listing their folder and refuse what cannot be."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest
import torch

from tl1bench import penalties
from tl1bench.errors import ConfigError


def test_every_penalty_file_is_found() -> None:
    folder = Path(penalties.__file__).parent
    files = sorted(f.stem for f in folder.glob("[!_]*.py"))
    assert list(penalties.names()) == files
    assert {"l1", "tl1", "integrated_tl1"} <= set(files)


@pytest.mark.parametrize("name", penalties.names())
def test_every_number_and_word_has_declared_values(name: str) -> None:
    kind = penalties.kind(name)
    declared = {"lam", *kind.ranges, *kind.choices}
    flags = {f.name for f in dataclasses.fields(kind) if f.type == "bool"}
    assert {f.name for f in dataclasses.fields(kind)} == declared | flags


@pytest.mark.parametrize("name", penalties.names())
def test_every_hyper_parameter_has_a_default_and_lam_is_one(name: str) -> None:
    penalty = penalties.load(name)
    assert penalty.lam == 1.0
    assert type(penalty) is penalties.kind(name)
    assert dataclasses.is_dataclass(penalty)
    assert penalty.with_lam(0.5).lam == 0.5
    assert inspect.getdoc(type(penalty))


@pytest.mark.parametrize("name", penalties.names())
def test_value_is_zero_at_zero_and_never_negative(name: str) -> None:
    penalty = penalties.load(name)
    w = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    w[0] = 0
    value = penalty.value(w)
    assert value.shape == (6,)
    assert value[0] == 0
    assert (value >= 0).all()


@pytest.mark.parametrize(
    ("name", "hyper", "told"),
    [
        ("tl1", {"a": 0.0}, "[1e-06, 1e+06]"),
        ("tl1", {"lam": -1.0}, "[0, inf)"),
        ("tl1", {"lam": float("nan")}, "lam is nan"),
        ("tl1", {"a": "big"}, "a is 'big'"),
        ("tl1", {"b": 1.0}, "no hyper-parameter 'b'; it has lam, a"),
        ("scad", {"a": 2.0}, "(2, inf)"),
        ("mcp", {"gamma": 0}, "(0, inf)"),
        ("integrated_tl1", {"order": "random"}, "element_then_group"),
        ("integrated_tl1", {"mu": 1.5}, "[0, 1]"),
        ("integrated_tl1", {"mu": [0.5, -0.1]}, "mu is -0.1"),
        ("integrated_tl1", {"mu": []}, "mu is empty"),
        ("group_lasso", {"group_scale": "cube"}, "sqrt, one"),
        ("lasso", {}, "there is no penalty 'lasso'; choose one of capped_l1"),
        ("_base", {}, "there is no penalty '_base'"),
    ],
)
def test_impossible_requests_name_what_is_allowed(name: str, hyper: dict, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        penalties.load(name, **hyper)
    assert told in str(error.value)


def test_mu_goes_linearly_from_first_to_last_layer() -> None:
    penalty = penalties.load("integrated_tl1", mu_first=0.8, mu_last=0.2)
    assert [penalty.at_layer(i, 4).mixing for i in range(4)] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert penalty.at_layer(0, 1).mixing == 0.8


def test_mu_may_be_listed_and_must_fit_the_network() -> None:
    penalty = penalties.load("sparse_group_lasso", mu=[0.5, 0.3, 0.1])
    assert [penalty.at_layer(i, 3).mixing for i in range(3)] == [0.5, 0.3, 0.1]
    with pytest.raises(ConfigError, match="mu lists 3 layers but the network has 2"):
        penalty.at_layer(0, 2)


def test_mu_weighs_the_group_term() -> None:
    w = torch.ones(1, 4)
    assert penalties.load("sparse_group_lasso", mu=1.0).value(w).item() == 4.0
    assert penalties.load("sparse_group_lasso", mu=1.0, group_scale="one").value(w).item() == 2.0
    assert penalties.load("sparse_group_lasso", mu=0.0, lam=2.0).value(w).item() == 8.0
    # CGES weighs the exclusive term by μ.
    assert penalties.load("cges", mu=1.0).value(w).item() == 8.0
    assert penalties.load("cges", mu=0.0).value(w).item() == 4.0


def test_layers_do_not_matter_to_simple_penalties() -> None:
    penalty = penalties.load("l1")
    assert penalty.at_layer(1, 3) is penalty


def test_a_penalty_without_a_diagonal_prox_says_so() -> None:
    with pytest.raises(ConfigError, match="l1_minus_l2 has no proximal operator in a diagonal"):
        penalties.load("l1_minus_l2").prox(torch.ones(2, 2), torch.ones(2, 2))
