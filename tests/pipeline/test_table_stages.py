"""A table in the first stages: what it is is written down, and how it becomes inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tl1bench import config, files
from tl1bench.datasets import Preprocessing
from tl1bench.pipeline.stages import data, sources

ROWS = "".join(f"{i % 7 / 4},{'?' if i % 9 == 0 else i % 5},{'xyz'[i % 3]}\n" for i in range(120))


def written(**own: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the stages `data` and `sources`; return what they wrote of the table."""
    chosen = config.Config.model_validate(
        {
            "datasets": {"mine": {"path": "data/mine/mine.csv", **own}},
            "problems": {"p": {"dataset": "mine", "network": {"name": "mlp"}}},
            "methods": {"dense": {"penalty": "l2", "lam": 1e-4}},
        }
    )
    data.run(chosen, "mine")
    sources.run(chosen)
    return (
        files.read_json(chosen.build / "data/mine.json"),
        files.read_json(chosen.build / "sources/problems/p.json"),
    )


def test_what_training_depends_on_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/mine").mkdir(parents=True)
    Path("data/mine/mine.csv").write_text(ROWS)
    found, problem = written()
    assert [column["name"] for column in found["table"]["columns"]] == ["c1", "c2"]
    assert "mine: it has no header" in capsys.readouterr().out
    plan = Preprocessing.from_json(problem["inputs"]["preprocessing"])
    assert [output.name for output in plan.outputs] == ["c1", "c2", "c2 missing"]
    assert plan.classes == ("x", "y", "z")
    # Other wishes, other inputs: what was trained before no longer counts.
    again, other = written(preprocess={"missing": "mean"})
    assert again["table"] != found["table"]
    assert other["inputs"]["sha256"] != problem["inputs"]["sha256"]
