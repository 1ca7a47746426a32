"""Everything that can be wrong is said before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tl1bench import config
from tl1bench.datasets import Dataset, Split
from tl1bench.errors import Tl1benchError
from tl1bench.pipeline import checks, loading, path_objects

ROWS = "".join(f"{i % 7},{i % 11},{'uv'[i % 2]},{'xyz'[i % 3]}\n" for i in range(120))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/mine").mkdir(parents=True)
    Path("data/mine/mine.csv").write_text("a;b;kind;class\n" + ROWS.replace(",", ";"))


def settings(**problem: Any) -> config.Config:
    return config.Config.model_validate(
        {
            "datasets": {"mine": {"path": "data/mine/mine.csv"}},
            "problems": {"p": {"dataset": "mine", "network": {"name": "mlp"}, **problem}},
            "methods": {"dense": {"penalty": "l2", "lam": 1e-4}, "integrated_tl1": {"lam": 1e-3}},
        }
    )


def said(chosen: config.Config) -> str:
    with pytest.raises(Tl1benchError) as refused:
        checks.check(chosen, say=lambda line: None)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_is_guessed_is_said_once() -> None:
    lines: list[str] = []
    chosen = settings()
    twice = chosen.model_copy(update={"problems": {**chosen.problems, "q": chosen.problems["p"]}})
    checks.check(twice, say=lines.append)
    assert lines == ["mine: columns are separated by ';'"]


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"network": {"name": "lenet5"}}, "problems.p: "),
        ({"network": {"name": "mlp", "options": {"width": 3}}}, "problems.p: Network 'mlp' does"),
        ({"mu": [0.5, 0.5]}, "problems.p with methods.integrated_tl1: "),
        ({"layer_weights": [1.0]}, "problems.p with methods."),
        ({"validation": 500}, "validation: 500 of the"),
        ({"groups": ["both"]}, "problems.p"),
    ],
)
def test_what_does_not_fit_is_refused(problem: dict[str, Any], words: str) -> None:
    assert words in said(settings(**problem))


def test_dense_must_be_among_the_methods() -> None:
    chosen = settings()
    methods = {"integrated_tl1": chosen.methods["integrated_tl1"]}
    assert "'dense' is missing" in said(chosen.model_copy(update={"methods": methods}))


def test_bad_hyper_parameters_and_missing_data_are_refused() -> None:
    chosen = settings()
    bad = chosen.methods["integrated_tl1"].model_copy(update={"hyper": {"b": 1}})
    methods = {**chosen.methods, "integrated_tl1": bad}
    assert "methods.integrated_tl1" in said(chosen.model_copy(update={"methods": methods}))
    Path("data/mine/mine.csv").unlink()
    assert "cannot read" in said(chosen)


@pytest.mark.parametrize(
    ("given", "rows", "batch"),
    [("auto", 100, 8), ("auto", 2000, 10), ("auto", 60000, 128), (64, 100, 64)],
)
def test_an_automatic_batch_makes_some_two_hundred_iterations_of_an_epoch(
    given: int | str, rows: int, batch: int
) -> None:
    problem = settings(path={"lr": 0.1, "batch": given}).problems["p"]
    x, y = np.zeros((rows, 4), dtype=np.float32), np.zeros(rows, dtype=np.int64)
    whole = Dataset("made up", x, y, x, y, scale=1.0)
    parts = Split(x, y, x, y, x, y)
    epochs, _ = path_objects.loop(problem, whole, parts, torch.device("cpu"))
    assert epochs.batch == batch


def test_a_sixth_is_for_validation_unless_it_is_said_otherwise() -> None:
    chosen = settings()
    whole, parts = loading.split(chosen, chosen.problems["p"])
    assert len(parts.y_val) == len(whole.y_train) // 6
    assert parts.x_val.shape[1:] == whole.input_shape == (4,)
    again = settings(validation=20)
    assert len(loading.split(again, again.problems["p"])[1].y_val) == 20
