"""What a trained weight depends on: every value that decides it, and none that does not."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from pydantic import BaseModel

from tl1bench import config, files
from tl1bench.pipeline import lists, paths
from tl1bench.pipeline.stages import sources, start
from tl1bench.results import layout

PLAIN: dict[str, Any] = {
    "seeds": [0],
    "datasets": {"digits": {}, "mnist": {}},
    "problems": {
        "walked": {"dataset": "digits", "network": {"name": "mlp"}, "path": {"lr": 0.1}},
        "listed": {"dataset": "digits", "network": {"name": "mlp"}, "budget": {"epochs": 1}},
    },
    "methods": {
        "dense": {"penalty": "l2", "lam": 1e-4},
        "l1": {"lam_for": {"listed": [0.1]}},
        "small": {"method": "small_dense", "hyper_for": {"walked": {"of": "random"}}},
        "random": {},
    },
}
PLAIN["problems"]["listed"]["methods"] = ["dense", "l1"]

# A value of each setting that is not the one above: a new setting must be added here.
PATH = {
    "batch": 64, "lr": 0.2, "dense_epochs": 2, "dense_branch_epochs": 9, "growth": 1.5, "epochs": 3,
    "branch_epochs": 7, "branch_below": 0.3, "margin_pct": 2.0, "steps": 5, "shift": 1,
    "flip": True, "shrink_every": 10, "align": 8,
}  # fmt: skip
BUDGET = {
    "batch": 64, "epochs": 2, "debias_epochs": 1, "lr": 0.2, "debias_lr": 0.3, "momentum": 0.5,
    "warmup": 0.1, "hold": 0.6, "final_lr": 0.2, "ramp": 0.5, "shift": 1, "shrink_every": 10,
    "flip": True, "curve_points": 3, "decay": {"factor": 0.5, "every": 10}, "align": 8,
}  # fmt: skip
PROBLEM = {
    "dataset": "mnist", "network": {"name": "mlp", "options": {"hidden": [8]}}, "validation": 100,
    "groups": "incoming", "layer_weights": [1, 2, 3], "mu": 0.3,
}  # fmt: skip
METHOD = {
    "penalty": "tl1", "optimizer": "proximal_adam", "lam": [0.2],
    "lam_for": {"walked": [0.3], "listed": [0.1]},
    "growth": 1.2, "growth_for": {"walked": 1.1}, "hyper": {"a": 2},
    "hyper_for": {"walked": {"a": 3}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder that holds what the stages before training leave, made up."""
    monkeypatch.chdir(tmp_path)
    made = config.Config.model_validate(PLAIN).build
    for name in PLAIN["problems"]:
        found = {"flops": 1, "data": {"train": 1}}
        files.write_json(made / "sources/problems" / f"{name}.json", found)
    for name in PLAIN["methods"]:
        found = {"paths": {}, "lists": {}, "of": []}
        files.write_json(made / "sources/methods" / f"{name}.json", found)
    begun = made / layout.START / "walked" / layout.start_name(0)
    for file in (layout.BEGINNING, layout.DENSE_START):
        files.write_text(begun / file, "")


def changed(*changes: tuple[str, Any]) -> config.Config:
    """Return the plain profile with values at dotted paths replaced."""
    whole = deepcopy(PLAIN)
    for place, value in changes:
        *above, last = place.split(".")
        node = whole
        for key in above:
            node = node.setdefault(key, {})
        node[last] = value
    return config.Config.model_validate(whole)


def identity(chosen: config.Config) -> dict[str, str]:
    """Return the digest of the dense start, of a path, and of a run of its own."""
    (begun,), (path,) = start._jobs(chosen, "walked"), paths.jobs(chosen, "walked", "l1")
    (run,) = lists.jobs(chosen, "listed", "l1")
    return {"start": begun.digest, "path": path.digest, "run": run.digest}


def other_than_before(*changes: tuple[str, Any]) -> set[str]:
    """Return what is trained anew after these changes."""
    before, after = identity(changed()), identity(changed(*changes))
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("setting", config.Path.model_fields)
def test_every_setting_of_a_path_decides_it(setting: str) -> None:
    of_start = set() if setting in start._LATER else {"start"}
    assert other_than_before((f"problems.walked.path.{setting}", PATH[setting])) == (
        {"path"} | of_start
    )


@pytest.mark.parametrize("setting", config.Budget.model_fields)
def test_every_setting_of_a_budget_decides_its_runs(setting: str) -> None:
    place = "problems.listed.budget"
    change = [(f"{place}.{setting}", BUDGET.get(setting))]
    if setting == "iterations":
        change = [(place, {"iterations": 50})]
    assert other_than_before(*change) == {"run"}


@pytest.mark.parametrize("setting", sorted(set(config.Problem.model_fields) - {"path", "budget"}))
def test_every_setting_of_a_problem_decides_its_paths(setting: str) -> None:
    if setting == "methods":  # which are tried is no matter of any one of them
        assert not other_than_before(("problems.walked.methods", ["dense", "l1"]))
        return
    of_start = set() if setting in start._UNSEEN else {"start"}
    assert other_than_before((f"problems.walked.{setting}", PROBLEM[setting])) == (
        {"path"} | of_start
    )


@pytest.mark.parametrize("setting", config.Method.model_fields)
def test_every_setting_of_a_method_decides_its_paths(setting: str) -> None:
    change = [(f"methods.l1.{setting}", METHOD.get(setting))]
    if setting == "method":
        change = [("methods.l1.method", "random"), ("problems.listed.methods", ["dense"])]
        before = paths.jobs(changed(), "walked", "l1")
        assert paths.jobs(changed(*change), "walked", "l1")[0].digest != before[0].digest
        return
    assert "path" in other_than_before(*change)
    # What is said of one problem alone trains no other, and where λs are given none grows.
    elsewhere = {"lam", "lam_for", "growth", "growth_for", "hyper_for"}
    assert ("run" in other_than_before(*change)) == (setting not in elsewhere)


@pytest.mark.parametrize("setting", ["penalty", "lam", "hyper"])
def test_the_dense_network_is_decided_by_its_method(setting: str) -> None:
    value = {"penalty": "l1", "lam": 1e-3, "hyper": {"a": 1}}[setting]
    assert "start" in other_than_before((f"methods.dense.{setting}", value))
    assert not other_than_before(("methods.random.hyper", {"first": 0.3}))
    # Its penalty may be one that takes the problem's μ.
    assert "start" in other_than_before(("problems.walked.mu", 0.2))


def test_a_seed_and_the_device_decide_everything() -> None:
    everything = {"start", "path", "run"}
    begun = config.Config.model_validate(PLAIN).build / layout.START / "walked"
    (begun / layout.start_name(0)).rename(begun / layout.start_name(1))
    with pytest.raises(FileNotFoundError):
        identity(changed())
    again = identity(changed(("seeds", [1])))
    (begun / layout.start_name(1)).rename(begun / layout.start_name(0))
    assert {name for name, digest in identity(changed()).items() if again[name] != digest} == (
        everything
    )
    assert other_than_before(("device", "cpu")) == everything


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("select", {"by": "macs", "tolerance_pct": 2}),
        ("compact", {"gather": 0.1}),
        ("measure", {"mode": "full", "batches": [1, 8], "threads": [1, 2], "processes": 9}),
        ("workers", 3),
    ],
)
def test_what_selects_compacts_and_measures_trains_nothing(place: str, value: Any) -> None:
    assert not other_than_before((place, value))


def test_all_that_decides_is_a_value_and_none_is_computed_where_params_are_read() -> None:
    # The code of `config` is in no digest: what training reads of it must be what was given.
    for kind in (config.Path, config.Budget, config.Decay, config.Network):
        assert issubclass(kind, BaseModel)
        public = {name for name in vars(kind) if not name.startswith(("_", "model_"))}
        assert not {n for n in public if isinstance(vars(kind)[n], FunctionType | property)}


def test_a_method_named_on_one_problem_alone_is_depended_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources, "_code", lambda *roots: list(roots))
    (of,) = sources._of_method(changed(), "small")["of"]
    assert of[0]["method"] == "random"
    assert any(file.endswith("methods/random.py") for file in of[1]["paths"])


def test_a_default_that_is_not_in_params_yaml_is_written_where_training_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def written(chosen: config.Config) -> dict[str, bytes]:
        sources.run(chosen)
        made = chosen.build / "sources"
        return {str(p.relative_to(made)): p.read_bytes() for p in made.rglob("*.json")}

    monkeypatch.setattr(sources, "_of_problem", lambda config, name, problem: {})
    monkeypatch.setattr(sources, "_of_method", lambda config, name: {})
    before = written(changed())
    assert b'"growth": 1.35' in before["values/problems/walked.json"]
    assert written(changed(("measure", {"processes": 9}), ("select", {"by": "macs"}))) == before
    after = written(changed(("problems.walked.path.growth", 1.5), ("methods.l1.growth", 1.2)))
    assert {name for name in before if after[name] != before[name]} == {
        "values/problems/walked.json", "values/methods/l1.json",
    }  # fmt: skip
