"""The stage that measures."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pandas as pd


def test_the_stage_measures_on_every_provider_that_is_there(tmp_path, monkeypatch, capsys):
    from tl1bench.errors import MeasurementError
    from tl1bench.pipeline.stages import measure as stage

    folder = tmp_path / "build" / "export" / "toy"
    names = [
        "dense",
        "masked",
        "l1/step-01-seed-0",
        "integrated_tl1/step-01-seed-0",
        "l1/step-01-seed-1",
    ]
    folder.mkdir(parents=True)
    pd.DataFrame({"model": names, "memory": [True] * 4 + [False]}).to_csv(
        folder / "models.csv", index=False
    )
    asked = []

    def measurer(_, **options):
        asked.append(options)
        samples = pd.DataFrame({"model": ["dense"], "ns": [1]})
        return SimpleNamespace(samples=samples, record=lambda: {"rows": [options["provider"]]})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "available", lambda: ("cpu", "cuda"))
    monkeypatch.setattr(stage, "measure", measurer)
    settings = SimpleNamespace(batches=(64, 1), threads=(1,), mode="quick", processes=5)
    config = SimpleNamespace(
        build=tmp_path / "build", reports=tmp_path / "reports", profile="p", measure=settings
    )
    stage.run(config, "toy")
    on_cpu, on_gpu = asked
    assert (on_cpu["batch"], on_gpu["batch"]) == ([1, 64], list(stage.CUDA_BATCHES))
    assert on_cpu["headline_only"] == ["l1/step-01-seed-1"]
    assert on_cpu["operators_of"] == ["dense", "masked", "integrated_tl1/step-01-seed-0"]
    assert (on_cpu["memory_of"], on_gpu["memory_of"]) == (names[:4], ())
    shared = {"provider", "batch", "memory_of", "progress"}
    assert {k: v for k, v in on_cpu.items() if k not in shared} == {
        k: v for k, v in on_gpu.items() if k not in shared
    }
    record = json.loads((tmp_path / "reports/measure/toy.json").read_text())
    assert record == {"rows": ["cpu"], "cuda": {"rows": ["cuda"]}}
    samples = pd.read_parquet(tmp_path / "reports/timings/toy.parquet")
    assert list(samples["provider"]) == ["cpu", "cuda"]

    def without_a_card(_, **options):
        if options["provider"] == "cuda":
            raise MeasurementError("it fell back")
        return measurer(_, **options)

    monkeypatch.setattr(stage, "measure", without_a_card)
    stage.run(config, "toy")
    record = json.loads((tmp_path / "reports/measure/toy.json").read_text())
    assert record == {"rows": ["cpu"], "cuda": None}
    assert "toy was measured on the CPU alone: it fell back" in capsys.readouterr().out
