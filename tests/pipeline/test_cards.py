"""Model cards: plain data beside each network that say what it is and how well it does."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from tl1bench import tasks
from tl1bench.config import Config
from tl1bench.datasets import Dataset
from tl1bench.pipeline import cards
from tl1bench.results import Run

FOUND: dict[str, Any] = {
    **{"lam": 0.01, "nonzero_weights": 7, "weights_dense": 80, "weights_compact": 12},
    **{"macs_dense": 80, "macs_compact": 12, "architecture": "3", "val_error_pct": 4.0},
    **{"test_error_pct": 5.0, "guess_error_pct": 60.0, "guess_p": 1e-9, "train_seconds": 1.5},
}
RUN = Run("p", "l1", 3, 1)


def settings() -> Config:
    return Config.model_validate(
        {
            "datasets": {"digits": {}},
            "problems": {"p": {"dataset": "digits", "network": {"name": "mlp"}}},
            "methods": {
                "dense": {"penalty": "l2", "lam": 1e-4},
                "l1": {"hyper_for": {"p": {}}, "lam_for": {"p": [0.01]}},
            },
        }
    )


def data(**changed: Any) -> Dataset:
    x, y = np.zeros((4, 2), dtype=np.float32), np.array([0, 1, 0, 1])
    return dataclasses.replace(Dataset("digits", x, y, x, y, 0.5, ("cat", "dog")), **changed)


def card(of: Dataset, *, full: bool = False) -> dict[str, Any]:
    recorded = {"sha256": "ab", "train": 4, "test": 4, "input_shape": [2], "notes": []}
    begun = cards.of_run(settings(), RUN, FOUND, full=full)
    return cards.whole(begun, of, recorded, {"name": "model.onnx", "onnx_bytes": 900})


def test_a_card_is_plain_data_that_says_what_made_the_network() -> None:
    found = card(data())
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    assert found["network"]["method"] == "l1"
    assert (found["network"]["step"], found["network"]["seed"]) == (3, 1)
    assert list(found["trained"]["method"]["lam"]) == [0.01]
    assert found["trained"]["problem"]["network"]["name"] == "mlp"
    assert found["data"] == {"name": "digits", "sha256": "ab", "train": 4, "test": 4}
    assert found["inputs"] == {"shape": [2], "times": 0.5, "preprocessing": None}
    assert found["file"]["onnx_bytes"] == 900


def test_a_card_says_how_well_the_network_does_and_in_which_unit() -> None:
    assert card(data())["errors"] == {
        **{"task": "classification", "unit": "%", "val_error_pct": 4.0, "test_error_pct": 5.0},
        **{"guess_error_pct": 60.0, "guess_p": 1e-9},
    }


def test_what_differs_between_two_runs_of_one_machine_is_not_in_a_card() -> None:
    assert "train_seconds" not in json.dumps(card(data()))


def test_the_compact_network_and_the_whole_one_have_their_own_sizes() -> None:
    small, full = card(data())["network"], card(data(), full=True)["network"]
    assert (small["weights"], small["macs"]) == (12, 12)
    assert (full["weights"], full["macs"]) == (80, 80)
    assert small["of"] == full["of"] == {"weights": 80, "macs": 80}


def test_outputs_are_classes_or_a_number_with_its_scale() -> None:
    assert card(data())["outputs"] == {"classes": ["cat", "dog"]}
    numbers = data(
        labels=(), task=tasks.load("regression"), target=tasks.Target(mean=3.0, scale=2.0)
    )
    found = card(numbers)
    assert found["outputs"] == {"mean": 3.0, "scale": 2.0}
    assert found["errors"]["unit"] == "% of σ"
    # The file itself says so, too, as no preprocessing does.
    assert cards.carried(numbers) == {"tl1bench.target": '{"mean": 3.0, "scale": 2.0}'}
    assert cards.carried(data()) == {}
