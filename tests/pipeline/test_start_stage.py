"""A dense network that learned nothing is said loudly, for all that follows hangs on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tl1bench import config, files
from tl1bench.pipeline import store
from tl1bench.pipeline.stages import start
from tl1bench.results import layout
from tl1bench.results.guessing import Against


def test_only_a_network_that_learned_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = config.Config.model_validate(
        {
            "datasets": {"digits": {}},
            "problems": {"mine": {"dataset": "digits", "network": {"name": "mlp"}}},
            "methods": {"dense": {"penalty": "l2"}},
        }
    )
    jobs = [start._Job(chosen, "mine", seed, seed, f"{seed}0digest", 1.0) for seed in range(3)]
    for job, found in zip(jobs, (Against(3, 60, 1e-9), Against(59, 60, 0.4)), strict=False):
        files.write_json(store.piece(job.digest) / layout.GUESSING, dataclasses.asdict(found))
    # The third was trained before there was such a file.
    for job in jobs:
        start._warn(job)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "NOTHING WAS LEARNED on mine (seed 1): dense has a validation error of 59.0 %, "
    )
    assert "guessing the commonest class 60.0 % (p = 0.4)" in line
