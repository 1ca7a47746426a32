"""Where results lie: the names of files and folders that one stage writes and others read.

`build/<profile>` has a folder a stage and in it one a run, `<problem>/<method>/step-…-seed-…`;
`reports/<profile>` holds what is committed. Its `evidence` is laid out like `build/<profile>`, for
the selected runs alone.

A run is one network: a point of a path, or what one λ of a list gave. Its step counts the points of
a path from 1, or the λs of the list; dense is step 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

# Methods that are more than one of many, and networks that are no method's.
DENSE = "dense"
HERO = "integrated_tl1"
MASKED = "masked"  # a pruned network whose zeros were left in place: the control
FLOOR = "floor"  # a session that computes nothing

# build/<profile>/start: where paths begin, a folder a seed; the dense network has a run's files.
START = "start"
BEGINNING = "start.safetensors"
DENSE_START = "start.json"
GUESSING = "guessing.json"  # dense beside the best guess
# build/<profile>/train: numbers, curve and tensors of a run.
TRAIN = "train"
LEFT_OUT = "left-out.txt"
RUN = "run.json"
HISTORY = "history.csv"
WEIGHTS = "weights.safetensors"
# build/<profile>/compact: numbers and network of a run, and which runs were selected.
COMPACT = "compact"
COMPACTION = "compact.json"
NETWORK = "small.safetensors"
SELECTION = "selection.csv"
# build/<profile>/export: file and numbers of a network, and which networks of a problem there are.
EXPORT = "export"
MODEL = "model.onnx"
EXPORTED = "export.json"
PREPROCESSING = "preprocessing.json"  # of a network trained on a table, here and in compact
CARD = "card.json"  # what the network is, what it was trained on, how well it does
MODELS = "models.csv"
# reports/<profile>
RUNS = "runs.csv"
METRICS = "metrics.json"
FRONTS = "fronts.csv"
ACCOUNT = "account.json"
EVIDENCE = "evidence"
FIGURES = "figures"
TABLES = "tables"
SECTION = "section.html"
# reports
INDEX = "index.html"
REPEATABILITY = "repeatability"

ANY_RUN, ANY_PATH = "step-*-seed-*", "path-seed-*.json"


class Run(NamedTuple):
    """One network: of which problem, by which method, at which of its steps, from which seed."""

    problem: str
    method: str
    step: int
    seed: int

    @property
    def name(self) -> str:
        """Its folder's name, such as `step-03-seed-1`."""
        return run_name(self.step, self.seed)

    @property
    def model(self) -> str:
        """The name of its compact network among those measured on the problem."""
        return f"{self.method}/{self.name}"

    @property
    def folder(self) -> Path:
        """Where its files lie below a stage's folder."""
        return Path(self.problem) / self.method / self.name


def run_name(step: int, seed: int) -> str:
    """Return the folder name of a run, such as `step-03-seed-1`."""
    return f"step-{step:02d}-seed-{seed}"


def start_name(seed: int) -> str:
    """Return the folder name of a dense start, such as `seed-1`."""
    return f"seed-{seed}"


def path_name(seed: int) -> str:
    """Return the name of the record of a whole path in its cell, such as `path-seed-1.json`."""
    return f"path-seed-{seed}.json"


def measurement_file(reports: Path, problem: str) -> Path:
    """Return the record of what was measured on `problem`, in `reports/<profile>`."""
    return reports / "measure" / f"{problem}.json"


def timings_file(reports: Path, problem: str) -> Path:
    """Return the file of every timed call on `problem`, in `reports/<profile>`."""
    return reports / "timings" / f"{problem}.parquet"
