"""What a figure may read beside the results table: one profile's files, by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from tl1bench.figures.style import Look, looks
from tl1bench.files import read_json
from tl1bench.results import headline_timings, read_measurement, run_name


@dataclass(frozen=True)
class Context:
    """One profile: its folders, what it compares, and access to the files of its runs.

    Parameters
    ----------
    build, reports
        `build/<profile>`, or a folder laid out like it that holds the selected runs, and
        `reports/<profile>`.
    profile
        The profile's name.
    problems, methods
        What params.yaml lists, in its order, which is also the order of panels and legends.
    tolerance_pct
        Selection tolerance in percentage points, for captions.
    seconds
        Wall time by stage, for the page's time account; may be empty.
    command
        What a reader types to make this profile's report again.
    as_coded
        Those of the problems that repeat the published script; see `as_logged`.
    """

    build: Path
    reports: Path
    profile: str
    problems: tuple[str, ...]
    methods: tuple[str, ...]
    tolerance_pct: float = 0.5
    seconds: Mapping[str, float] = field(default_factory=dict)
    command: str = "dvc repro"
    as_coded: tuple[str, ...] = ()

    @property
    def looks(self) -> dict[str, Look]:
        """Colour, marker and printed name of each method."""
        return looks(self.methods)

    def measurement(self, problem: str) -> dict[str, Any]:
        """Return `measure/<problem>.json`; without rows when nothing was measured."""
        return read_measurement(self.reports, problem)

    def timings(self, problem: str, batch: int = 1) -> dict[str, dict[str, Any]]:
        """Return the measured rows at `batch` and one thread, by model name."""
        return headline_timings(self.measurement(problem), batch)

    def memory(
        self, problem: str, batch: int = 1, arena: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Return what fresh processes took at `batch`, by model name, with or without the arena."""
        rows = self.measurement(problem).get("memory", ())
        return {r["model"]: r for r in rows if (r["batch"], r["arena"]) == (batch, arena)}

    def trusted(self) -> bool:
        """Return whether no measurement found the machine too busy."""
        machines = (self.measurement(p)["machine"] for p in self.problems)
        return all(machine.get("trusted", True) for machine in machines)

    def history(self, problem: str, method: str, lam: float, seed: int) -> pd.DataFrame:
        """Return the training curve of a run: one row a reading."""
        cell = self.build / "train" / problem / method / run_name(lam, seed)
        return pd.read_csv(cell / "history.csv")

    def layers(self, problem: str, method: str, lam: float, seed: int) -> list[dict[str, Any]]:
        """Return the layer reports of a run's compaction, first layer first."""
        cell = self.build / "compact" / problem / method / run_name(lam, seed)
        return cast("list[dict[str, Any]]", read_json(cell / "compact.json")["layers"])

    def weights(self, problem: str, method: str, lam: float, seed: int) -> dict[str, np.ndarray]:
        """Return a run's tensors at full size, removed weights being zeros; none without a file."""
        cell = self.build / "train" / problem / method / run_name(lam, seed)
        path = cell / "weights.safetensors"
        return dict(load_file(path)) if path.is_file() else {}


def first_selected(table: pd.DataFrame, problem: str, method: str) -> tuple[float, int] | None:
    """Return (λ, seed) of the selected run of lowest seed, or None when there is none."""
    rows = table[(table["problem"] == problem) & (table["method"] == method) & table["selected"]]
    if rows.empty:
        return None
    row = rows.sort_values("seed").iloc[0]
    return float(row["lam"]), int(row["seed"])
