"""A table of numbers and one of noise, from the file to the report, all in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from tl1bench import config, datasets, files, results
from tl1bench.cli import _predicting
from tl1bench.pipeline.stages import collect, compact, data, export, report, sources, start, train
from tl1bench.results import layout

PATH = {"batch": 16, "lr": 0.1, "dense_epochs": 6, "growth": 2.0, "epochs": 1, "branch_epochs": 4,
        "branch_below": 0.9, "margin_pct": 30, "steps": 2}  # fmt: skip


def table(name: str, y: np.ndarray, x: np.ndarray) -> None:
    frame = pd.DataFrame(x, columns=list("abc")).assign(label=y)
    Path("data", name).mkdir(parents=True)
    frame.to_csv(Path("data", name, f"{name}.csv"), index=False)


def settings() -> config.Config:
    def problem(name: str) -> dict[str, Any]:
        network = {"name": "mlp", "options": {"hidden": [16]}}
        return {"dataset": name, "network": network, "path": PATH}

    return config.Config.model_validate(
        {
            "workers": 1,
            "seeds": [0, 1],
            "datasets": {
                name: {"path": f"data/{name}/{name}.csv", "task": task}
                for name, task in (("prices", "regression"), ("noise", "classification"))
            },
            "problems": {name: problem(name) for name in ("prices", "noise")},
            "methods": {
                "dense": {"penalty": "l2", "lam": 1e-4},
                "magnitude": {},
                "integrated_tl1": {},
            },
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a folder in which everything up to the report was made, nothing measured."""
    draw = np.random.default_rng(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("run"))
        x = draw.normal(size=(300, 3))
        table("prices", 5000 + 800 * x[:, 0] + 200 * np.abs(x[:, 1]), x)
        table("noise", draw.integers(0, 2, 300), draw.normal(size=(300, 3)))
        chosen = settings()
        for name in chosen.datasets:
            data.run(chosen, name)
        sources.run(chosen)
        start.run(chosen)
        train.run(chosen)
        compact.run(chosen)
        export.run(chosen)
        collect.run(chosen)
        report.run(chosen)
        yield folder


def test_numbers_are_learned_and_judged_as_numbers(run: Path) -> None:
    found = results.read(run / "reports/own/runs.csv")
    own = found[found["problem"] == "prices"]
    dense = own[own["method"] == "dense"]
    assert (dense["test_r2"] > 0.9).all()
    assert dense["test_rmse"].to_numpy() == pytest.approx(
        dense["test_error_pct"].to_numpy() / 100 * target(run)["scale"]
    )
    assert dense["guess_error_pct"].to_numpy() == pytest.approx(100, abs=25)
    assert (dense["guess_p"] < 1e-3).all()
    assert own["step"].max() > 0
    other = found[found["problem"] == "noise"]
    assert other[["test_r2", "test_rmse"]].isna().all(axis=None)
    assert (other.loc[other["method"] == "dense", "guess_p"] > 0.01).all()


def target(run: Path) -> dict[str, float]:
    cell = next((run / "build/own/compact/prices").glob("integrated_tl1/step-*"))
    found = files.read_json(cell / layout.PREPROCESSING)["target"]
    assert isinstance(found, dict)
    return found


def test_how_a_table_is_prepared_stands_beside_each_network_and_in_its_file(run: Path) -> None:
    cells = list((run / "build/own/export/prices").glob("integrated_tl1/step-*"))
    assert cells
    for cell in [*cells, run / "build/own/export/prices/dense"]:
        stored = files.read_json(cell / layout.PREPROCESSING)
        carried = onnx.load(cell / layout.MODEL).metadata_props
        assert {p.key: json.loads(p.value) for p in carried} == {datasets.METADATA: stored}
        assert stored["target"] == target(run)
        card = files.read_json(cell / layout.CARD)
        assert card["inputs"]["preprocessing"] == layout.PREPROCESSING
        assert card["outputs"] == target(run)
        assert card["errors"]["task"] == "regression"
        assert card["errors"]["test_r2"] <= 1


def test_predict_gives_the_error_of_the_report(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = run / "build/own/export/prices/dense" / layout.MODEL
    rows = pd.read_csv(run / "data/prices/prices.csv")
    order = np.argsort(rows["label"].to_numpy(), kind="stable")[2::5]
    rows.iloc[order].to_csv(run / "test.csv", index=False)
    _predicting.predict(dense, run / "test.csv", run / "out.csv")
    found = results.read(run / "reports/own/runs.csv")
    own = found[
        (found["problem"] == "prices") & (found["method"] == "dense") & (found["seed"] == 0)
    ]
    said = capsys.readouterr().err
    assert f"RMSE [own unit] {own['test_rmse'].item():.4g}, R² {own['test_r2'].item():.4g}" in said


def test_the_report_speaks_of_rmse_and_of_what_was_not_learned(run: Path) -> None:
    html = (run / "reports/own/section.html").read_text()
    assert "prices: integrated TL1 keeps" in html
    assert "test RMSE [% of σ]" in html
    assert "σ is the standard deviation of the training numbers" in html
    first = html.index("NOTHING WAS LEARNED on noise: dense has")
    assert first < html.index('class="verdict"')
    assert "noise: integrated TL1 keeps" not in html
    tables = run / "reports/own/tables"
    assert "nothing was learned" in (tables / "noise.md").read_text()
    assert "**" not in (tables / "noise.md").read_text()
    assert r"$\sigma$" in (tables / "prices.tex").read_text()
