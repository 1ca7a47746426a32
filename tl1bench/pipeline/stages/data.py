"""Stage 0a: verify one data set and write what it is, so that a change of content is noticed."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console

from tl1bench import files
from tl1bench.config import Config
from tl1bench.pipeline import loading


def run(config: Config, name: str) -> None:
    """Write `data/<name>.json`: digest, shapes, task; of a table its columns, too."""
    data = loading.dataset(config, name)
    found: dict[str, Any] = {
        "sha256": loading.digest(data),
        "input_shape": list(data.input_shape),
        "task": data.task.name,
        "outputs": data.outputs,
        "train": len(data.y_train),
        "test": len(data.y_test),
    }
    if data.raw is not None:
        # Its values are prepared for each problem, on the training rows of its split.
        found |= {"table": dataclasses.asdict(data.raw), "notes": list(data.notes)}
    console = Console(soft_wrap=True)
    for line in data.notes:
        console.print(f"{name}: {line}", markup=False, highlight=False)
    files.write_json(config.build / "data" / f"{name}.json", found)
