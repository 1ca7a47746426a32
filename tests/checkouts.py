"""Copies of the project in which commands can be run and files changed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def environment(tree: Path) -> dict[str, str]:
    """Return the variables under which `tree` runs its own code."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(tree), "PYTHONWARNINGS": "default"}


def call(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run `python …` in `tree` with its own code."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )


# What says where a pipeline runs says so anew in every run.
ALWAYS_RUN = {"machine"}


def repro(tree: Path) -> set[str]:
    """Run the pipeline of `tree` and return the names of the stages that ran, as `stages_run`."""
    done = call(tree, "-m", "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return stages_run(done.stdout)


def stages_run(output: str) -> set[str]:
    """Return the names of the stages that `dvc repro` ran, but for those that always run."""
    ran = {
        line.split("'")[1].split(":")[-1]
        for line in output.splitlines()
        if line.startswith("Running stage")
    }
    return ran - ALWAYS_RUN
