"""What figures and tables are made from beside the table of runs: one profile's files, by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from tl1bench import metrics
from tl1bench.files import read_json
from tl1bench.results import layout
from tl1bench.results.layout import Run
from tl1bench.results.measured import headline_timings, read_measurement
from tl1bench.results.printed import display
from tl1bench.results.selection import Objective
from tl1bench.tasks import Task
from tl1bench.tasks import load as load_task

_ERRORS = {"test_error": "test", "validation_error": "validation"}
GUESSES = " (guesses)"
"""What stands behind the name of a method that does no better than guessing."""


@dataclass(frozen=True)
class Evidence:
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
    by
        What the selected networks are smallest in.
    command
        What a reader types to make this profile's report again.
    as_coded
        Those of the problems that repeat the published script; see `report.as_logged`.
    tasks
        What is learned of each problem, by its name; classes where a problem is not named.
    guesses
        The selected (problem, method) that do no better than guessing; see `guessing.marks`.
    """

    build: Path
    reports: Path
    profile: str
    problems: tuple[str, ...]
    methods: tuple[str, ...]
    tolerance_pct: float = 0.5
    by: Objective = "weights"
    command: str = "dvc repro"
    as_coded: tuple[str, ...] = ()
    tasks: Mapping[str, str] = field(default_factory=dict)
    guesses: frozenset[tuple[str, str]] = frozenset()

    def task(self, problem: str) -> Task:
        """Return what is learned on a problem."""
        return load_task(self.tasks[problem]) if problem in self.tasks else load_task()

    @property
    def error(self) -> str:
        """What the errors of all problems are called."""
        return " or ".join(dict.fromkeys(self.task(p).error for p in self.problems))

    def axis_label(self, metric: str, problem: str | None = None) -> str:
        """Return what stands beside the numbers of a metric, for one problem or all of them."""
        if metric not in _ERRORS:
            return metrics.axis_label(metric)
        of = self.problems if problem is None else (problem,)
        return " or ".join(dict.fromkeys(self.task(p).label(_ERRORS[metric]) for p in of))

    def learned(self, problem: str) -> bool:
        """Return whether dense does better than guessing; nothing is best where it does not."""
        return (problem, layout.DENSE) not in self.guesses

    def title(self, problem: str) -> str:
        """Return what stands above a panel of a problem."""
        return problem if self.learned(problem) else f"{problem}: nothing was learned"

    def name(self, problem: str, method: str) -> str:
        """Return how a method is printed, with a mark where it does no better than guessing."""
        return display(method) + (GUESSES if (problem, method) in self.guesses else "")

    def measurement(self, problem: str) -> dict[str, Any]:
        """Return the record of what was measured; without rows when nothing was."""
        return read_measurement(self.reports, problem)

    def timings(self, problem: str, batch: int = 1) -> dict[str, dict[str, Any]]:
        """Return the measured rows at `batch` and one thread, by name of the network."""
        return headline_timings(self.measurement(problem), batch)

    def memory(self, problem: str, *, arena: bool = False) -> dict[str, dict[str, Any]]:
        """Return what fresh processes took at batch 1 [MiB], by name of the network."""
        rows = self.measurement(problem).get("memory", ())
        return {r["model"]: r for r in rows if (r["batch"], r["arena"]) == (1, arena)}

    def trusted(self) -> bool:
        """Return whether no measurement found the machine too busy."""
        machines = (self.measurement(p)["machine"] for p in self.problems)
        return all(machine.get("trusted", True) for machine in machines)

    def sessions(self) -> Path:
        """Return the folder of repeated measurements: the protocol's, not the profile's."""
        return self.reports.parent / layout.REPEATABILITY

    def history(self, run: Run) -> pd.DataFrame:
        """Return the training curve of a run: one row a reading."""
        return pd.read_csv(self.build / layout.TRAIN / run.folder / layout.HISTORY)

    def course(self, problem: str, method: str, seed: int) -> pd.DataFrame:
        """Return a whole path, one row a step; empty for what walked none.

        Parameters
        ----------
        problem, method, seed
            Which path.

        Returns
        -------
        DataFrame
            step, epoch, level, train_loss, nonzero_weights, seconds.
        """
        path = self.build / layout.TRAIN / problem / method / layout.path_name(seed)
        return pd.DataFrame(read_json(path)["course"] if path.is_file() else [])

    def layers(self, run: Run) -> list[dict[str, Any]]:
        """Return the layer reports of a run's compaction, first layer first."""
        found = read_json(self.build / layout.COMPACT / run.folder / layout.COMPACTION)
        return cast("list[dict[str, Any]]", found["layers"])

    def weights(self, run: Run) -> dict[str, np.ndarray]:
        """Return a run's tensors at full size, removed weights being zeros; none without a file."""
        path = self.build / layout.TRAIN / run.folder / layout.WEIGHTS
        return dict(load_file(path)) if path.is_file() else {}
