"""Paths: the algorithm itself, whatever the method."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from walking import digits, evaluate, killed_at, network, walk

from tl1bench import methods, penalties
from tl1bench.compaction import compact
from tl1bench.errors import ConfigError
from tl1bench.training import error_pct
from tl1bench.training.epochs import Epochs
from tl1bench.training.path import nonzero
from tl1bench.training.points import Points


def integrated() -> penalties.Penalty:
    return penalties.load("integrated_tl1", a=0.1, mu=0.5)


@pytest.fixture(scope="module")
def points() -> Points:
    return walk(integrated(), steps=7, growth=1.6)


def same(one: Points, other: Points) -> bool:
    return len(one) == len(other) and all(
        a.error == b.error
        and all(
            torch.equal(s, t)
            for s, t in zip(a.network.parameters(), b.network.parameters(), strict=True)
        )
        for a, b in zip(one, other, strict=True)
    )


def test_networks_become_smaller_step_by_step(points: Points) -> None:
    assert len(points) >= 4
    for size in ("nonzero_weights", "weights", "macs"):
        sizes = [getattr(p, size) for p in points]
        assert sizes == sorted(sizes, reverse=True)
    assert points[-1].weights < 0.5 * points[0].weights
    assert [p.level for p in points] == sorted(p.level for p in points)


def test_each_point_is_what_it_says(points: Points) -> None:
    for point in points:
        assert error_pct(point.network, digits(1000, 1400)) == point.error
        matrices = [p for p in point.network.parameters() if p.dim() == 2]
        assert sum(m.numel() for m in matrices) == point.weights == point.macs
        trained = [w for w in point.state.values() if w.dim() == 2]
        assert sum(int(torch.count_nonzero(w)) for w in trained) == point.nonzero_weights
        assert sum(int(torch.count_nonzero(m)) for m in matrices) <= point.nonzero_weights


def test_the_first_half_of_the_weights_goes_in_the_first_step(points: Points) -> None:
    share = points[0].nonzero_weights / sum(p.numel() for p in network().parameters())
    assert 0.1 < share < 0.65


def test_sparsity_costs_little_error_at_first(points: Points) -> None:
    assert points[0].error < points.dense_error + 4
    assert points.dense_error < 15


def test_the_smallest_network_within_the_bar_is_picked(points: Points) -> None:
    chosen = points.pick(within=5.0)
    assert chosen.error <= points.dense_error + 5
    assert all(p.weights >= chosen.weights for p in points if p.error <= points.dense_error + 5)
    with pytest.raises(ConfigError, match=r"No network of the path is within -90"):
        points.pick(within=-90.0)
    with pytest.raises(ConfigError, match="by is 'size'"):
        points.pick(by="size")  # type: ignore[arg-type]


def test_table_and_figure_show_every_point(points: Points) -> None:
    table = points.table()
    assert list(table["weights"]) == [p.weights for p in points]
    (axes,) = points.plot("macs").axes
    assert len(axes.lines[0].get_xdata()) == len(points)
    with pytest.raises(ConfigError, match="by is 'speed'"):
        points.plot("speed")  # type: ignore[arg-type]


def made(method: str) -> object:
    return integrated() if method == "penalty" else methods.load(method)


@cache
def whole(method: str) -> Points:
    return walk(made(method))


@pytest.mark.parametrize("method", ["penalty", "magnitude"])
@pytest.mark.parametrize("stopped_in_epoch", [2, 8, 14])
def test_a_killed_path_goes_on_bit_for_bit(
    method: str, stopped_in_epoch: int, tmp_path: Path
) -> None:
    epochs, inner = 0, Epochs(digits(0, 1000), batch=50)

    def killed(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == stopped_in_epoch:
            raise KeyboardInterrupt
        inner(model, optimizer)

    with pytest.raises(KeyboardInterrupt):
        walk(made(method), folder=tmp_path, train_epoch=killed)
    assert same(walk(made(method), folder=tmp_path), whole(method))
    # And a finished one is read, not walked again.
    nothing = walk(made(method), folder=tmp_path, train_epoch=pytest.fail)
    assert same(nothing, whole(method))
    assert nothing.ended == whole(method).ended


def test_widths_are_multiples_while_training_and_costs_those_of_the_exact_network() -> None:
    epochs, widths = Epochs(digits(0, 1000), batch=50, every=5), set()

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        loss = epochs(model, optimizer)
        widths.update(layer.out_features for layer in model.modules() if hasattr(layer, "bias"))
        return loss

    found = walk(integrated(), network(0, (30, 16)), train_epoch=train, align=8, branch_below=1.0)
    # 10 classes; 30 is what the first layer had.
    assert {10, 30, 24, 16, 8} >= widths > {10, 30, 16}
    exact = network(0, (30, 16))
    for point in found:
        exact.load_state_dict(point.state)
        small = compact(exact, digits(0, 4).x)
        assert (point.weights, point.macs) == (small.report.weights_after, small.report.macs_after)
        assert point.nonzero_weights == nonzero(exact)
        assert point.error == evaluate(exact)
    live = [(point.state["3.weight"] != 0).any(0).sum() % 8 for point in found]
    assert any(live)


def test_a_killed_path_of_multiples_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def thinned(align: int = 8, **more: object) -> Points:
        method = methods.load("random", unit="neuron", first=0.4, ratio=2.5)
        quick = dict.fromkeys(("dense_epochs", "epochs", "branch_epochs"), 1)
        return walk(method, align=align, branch_below=1.0, **quick, **more)

    with pytest.raises(KeyboardInterrupt):
        thinned(folder=tmp_path, evaluate=killed_at(4))
    (step,) = tmp_path.glob("step-*")
    state = load_file(step / "state.safetensors")
    # Which of those that nothing reads are left only the file knows, after two cuts.
    assert len(state["kept:0:1.weight"]) == 8 > (state["model:3.weight"] != 0).any(0).sum()
    resumed = thinned(folder=tmp_path)
    assert same(resumed, thinned())
    assert [p.architecture for p in resumed] == [p.architecture for p in thinned(align=1)]


def test_a_folder_from_before_a_setting_is_gone_on_with(tmp_path: Path) -> None:
    options = {"steps": 2, "branch_below": 1.0, "dense_epochs": 1, "branch_epochs": 1, "epochs": 1}
    with pytest.raises(KeyboardInterrupt):
        walk(integrated(), folder=tmp_path, evaluate=killed_at(3), **options)
    (file,) = tmp_path.glob("step-*/progress.json")
    content = json.loads(file.read_text())
    del content["described"]["plan"]["align"]
    file.write_text(json.dumps(content))
    assert len(walk(integrated(), folder=tmp_path, **options)) == 2
    with pytest.raises(ConfigError, match="holds a path of another network, method or plan"):
        walk(integrated(), folder=tmp_path, align=2, **options)


def test_another_paths_folder_is_refused(tmp_path: Path) -> None:
    walk(integrated(), folder=tmp_path, steps=1)
    with pytest.raises(ConfigError, match="holds a path of another network, method or plan"):
        walk(integrated(), folder=tmp_path, steps=2)


def test_global_generators_are_left_as_they_were() -> None:
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    walk(integrated(), steps=1)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


def test_any_error_will_do_and_any_loss() -> None:
    examples = digits(0, 1000)
    x = examples.x.flatten(1)
    target = x.sum(1, keepdim=True) / 20
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 1))

    def train(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            functional.mse_loss(network(x[rows]), target[rows]).backward()
            optimizer.step()

    points = walk(
        penalties.load("sparse_group_lasso"),
        model,
        train_epoch=train,
        evaluate=lambda network: float((network(x) - target).square().mean()),
        example_inputs=x[:4],
        lr=0.1,
        margin=1.0,
    )
    assert len(points) >= 2
    assert points[-1].weights < 64 * 24


@pytest.mark.parametrize("what", ["train", "evaluate", "nan"])
def test_what_fails_on_the_way_ends_the_path_and_keeps_its_points(what: str) -> None:
    calls = 0

    def judge(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        if calls == 3 and what == "evaluate":
            raise ZeroDivisionError("no examples")
        return float("nan") if calls == 3 and what == "nan" else evaluate(model)

    epochs, inner = 0, Epochs(digits(0, 1000), batch=50)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        nonlocal epochs
        epochs += 1
        if epochs == 3 + 3 + 5 + 1 and what == "train":
            raise MemoryError("out of memory")
        inner(model, optimizer)

    points = walk(integrated(), train_epoch=train, evaluate=judge, branch_below=1.0)
    assert len(points) == 1
    said = {"train": "out of memory", "evaluate": "no examples", "nan": "evaluate returned nan"}
    assert points.ended.startswith(f"step 2 failed: {said[what]}")


def test_a_trained_network_is_taken_as_it_is() -> None:
    model = network()
    error = evaluate(model)
    points = walk(integrated(), model, dense_epochs=0, steps=1)
    assert points.dense_error == error


def test_a_loop_that_takes_no_step_is_told() -> None:
    with pytest.raises(ConfigError, match=r"train_epoch never called optimizer\.step"):
        walk(integrated(), train_epoch=lambda model, optimizer: None)


@pytest.mark.parametrize(
    ("option", "value"),
    [("lr", 0.0), ("growth", 1.0), ("epochs", 0), ("branch_below", 0.0), ("steps", 0),
     ("margin", -1.0), ("branch_epochs", 0), ("dense_epochs", -1), ("align", 0)],
)  # fmt: skip
def test_settings_out_of_range_are_told_by_name(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{option} is {value!r}; give "):
        walk(integrated(), **{option: value})
