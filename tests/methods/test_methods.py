"""The contract of every method in the folder: dense in, ever sparser ones out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from walking import digits, killed_at, network, walk

from tl1bench import methods, neurons, penalties
from tl1bench.errors import ConfigError, MissingPackageError
from tl1bench.methods.penalised import Penalised
from tl1bench.training.method import Method
from tl1bench.training.points import Points


def made(name: str) -> Method:
    """Return the method as most call it; skip where its package is missing."""
    if name == "slimming":
        pytest.skip("it needs BatchNorm: see test_slimming.py")
    options: dict = {
        "penalised": {"penalty": penalties.load("l1")},
        "small_dense": {"of": methods.load("random", unit="neuron")},
    }
    try:
        return methods.load(name, **options.get(name, {}))
    except MissingPackageError as error:
        pytest.skip(str(error))


@cache
def walked(name: str) -> tuple[Points, nn.Module]:
    """Return what a path of three steps came to, and the network that walked it."""
    model = network()
    return walk(made(name), model, growth=1.6, branch_below=1.0), model


@pytest.mark.parametrize("name", methods.names())
def test_every_step_has_fewer_weights(name: str) -> None:
    points, _ = walked(name)
    assert len(points) == 3, points.ended
    counts = [p.nonzero_weights for p in points]
    assert counts == sorted(set(counts), reverse=True)
    dense = sum(network().get_parameter(n).numel() for n in neurons.weight_layers(network()))
    assert counts[-1] < 0.75 * dense


@pytest.mark.parametrize("name", methods.names())
def test_every_method_begins_from_the_same_dense_network(name: str) -> None:
    assert walked(name)[0].dense_error == walked("magnitude")[0].dense_error


@pytest.mark.parametrize("name", methods.names())
def test_zeros_made_are_held_in_the_branch(name: str) -> None:
    point = walked(name)[0][0]
    zeros = sum(int((p == 0).sum()) for p in point.network.parameters() if p.dim() == 2)
    assert point.nonzero_weights + zeros == point.weights


@pytest.mark.parametrize("name", methods.names())
def test_a_killed_path_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        walk(made(name), growth=1.6, branch_below=1.0, folder=tmp_path, evaluate=killed_at(3))
    resumed = walk(made(name), growth=1.6, branch_below=1.0, folder=tmp_path)
    for one, other in zip(walked(name)[0], resumed, strict=True):
        assert one.level == other.level
        for p, q in zip(one.network.parameters(), other.network.parameters(), strict=True):
            assert torch.equal(p, q)


@pytest.mark.parametrize("name", methods.names())
def test_nothing_stays_behind_in_the_network(name: str) -> None:
    _, model = walked(name)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(model.train()(digits(0, 4).x), model.eval()(digits(0, 4).x))


@pytest.mark.parametrize("name", methods.names())
def test_a_method_says_what_it_is(name: str) -> None:
    assert repr(made(name)) == repr(made(name))
    assert "object at" not in repr(made(name))


def test_magnitude_keeps_the_largest() -> None:
    (layer,) = walk(methods.load("magnitude", scope="layer"), steps=1)
    (whole,) = walk(methods.load("magnitude"), steps=1)
    total = 64 * 32 + 32 * 16 + 16 * 10
    assert layer.nonzero_weights <= total // 2
    assert whole.nonzero_weights <= total // 2
    assert not torch.equal(*(next(iter(p.network.parameters()))[:5, :5] for p in (layer, whole)))


def test_random_neurons_leave_a_small_dense_network() -> None:
    points = walk(methods.load("random", unit="neuron"), steps=2, growth=2.0)
    assert [p.architecture for p in points] == ["64-16-8", "64-8-4"]
    assert all(p.nonzero_weights == p.weights for p in points)


def test_lambda_rises_by_the_growth_and_faster_while_nothing_happens() -> None:
    method = Penalised(penalties.load("l1"))
    walk(method, steps=1, growth=1.5)
    first = method.state()["lam"]
    method.resume({"lam": first, "before": 0.0, "haste": 1.0, "left": 0.9})
    assert method.advance(0.5) == pytest.approx(1.5 * first)
    method.resume({"lam": first, "before": 0.0, "haste": 1.0, "left": 0.9})
    assert method.advance(0.899) == pytest.approx(1.5**2 * first)
    assert method.advance(0.898) == pytest.approx(1.5**6 * first)


def test_a_penalty_with_a_growth_of_its_own_rises_by_that_and_no_other() -> None:
    method = Penalised(penalties.load("l1"), growth=1.2)
    walk(method, steps=1, growth=1.5)
    first = method.state()["lam"]
    method.resume({"lam": first, "before": 0.0, "haste": 1.0, "left": 0.9})
    assert method.advance(0.5) == pytest.approx(1.2 * first)
    method.resume({"lam": first, "before": 0.0, "haste": 1.0, "left": 0.9})
    assert method.advance(0.899) == pytest.approx(1.2**2 * first)


def test_a_path_of_another_growth_is_not_gone_on_with(tmp_path: Path) -> None:
    walk(Penalised(penalties.load("l1"), growth=1.2), steps=1, folder=tmp_path)
    for growth in (None, 1.3):
        method = Penalised(penalties.load("l1"), growth=growth)
        with pytest.raises(ConfigError, match="another network, method or plan"):
            walk(method, steps=1, folder=tmp_path)
    walk(Penalised(penalties.load("l1"), growth=1.2), steps=1, folder=tmp_path)


def test_a_growth_beside_given_lambdas_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"growth is 1\.2, but the λs are given"):
        Penalised(penalties.load("l1"), lams=(0.1, 0.2), growth=1.2)


def test_the_first_lambda_fits_penalties_of_any_scale() -> None:
    lams, shares = {}, {}
    for name in ("l1", "group_lasso", "integrated_tl1", "mcp"):
        method = Penalised(penalties.load(name))
        (point,) = walk(method, steps=1, branch_below=1.0)
        lams[name], shares[name] = point.level, point.nonzero_weights / 2720
    assert max(lams.values()) > 3 * min(lams.values())
    assert all(0.05 < share < 0.95 for share in shares.values())


def test_a_penalty_that_makes_no_zeros_is_told() -> None:
    points = walk(penalties.load("l2"), steps=1)
    assert "makes no zeros at any strength" in points.ended


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("magnitude", {"scope": "row"}, "scope is 'row'"),
        ("magnitude", {"first": 1.0}, "first is 1.0"),
        ("random", {"unit": "filter"}, "unit is 'filter'"),
        ("penalised", {"penalty": penalties.load("l1"), "growth": 1.0}, "growth is 1.0"),
        ("slimming", {"growth": 0.9}, "growth is 0.9"),
        ("random", {"first": 0.0}, "first is 0.0"),
        ("magnitude", {"share": 0.5}, "does not take these options"),
        ("lottery", {}, "there is no method 'lottery'"),
    ],
)
def test_bad_options_are_told(name: str, options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        methods.load(name, **options)
