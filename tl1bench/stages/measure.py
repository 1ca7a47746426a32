"""Stage 4: time the exported networks of one problem against its dense one, without torch."""

from __future__ import annotations

import pandas as pd

from tl1bench import files, progress, workshop
from tl1bench.config import Config
from tl1bench.measuring import measure


def run(config: Config, problem: str) -> None:
    """Write `timings/<problem>.parquet` (every call) and `measure/<problem>.json`."""
    folder = config.build / "export" / problem
    index = pd.read_csv(folder / "models.csv")
    settings = config.measure
    with (
        workshop.locked(f"{config.profile}-measure"),
        progress.steps(f"measure {problem}") as move,
    ):
        measurement = measure(
            [folder / model / "model.onnx" for model in index["model"]],
            batch=settings.batches,
            threads=settings.threads,
            mode=settings.mode,
            processes=settings.processes,
            labels=list(index["model"]),
            memory_of=list(index["model"][index["memory"]]),
            progress=move,
        )
    measurement.save_samples(config.reports / "timings" / f"{problem}.parquet")
    files.write_json(config.reports / "measure" / f"{problem}.json", measurement.record())
