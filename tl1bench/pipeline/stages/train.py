"""Stage 2: train one problem × method cell: a path a seed, or a run a λ and seed; resumably."""

from __future__ import annotations

import sys

from tl1bench import files
from tl1bench.config import Config
from tl1bench.pipeline import lists, paths, processes, store
from tl1bench.results import layout


def run(config: Config, problem: str, method: str) -> None:
    """Write `train/<problem>/<method>/<run>/{weights.safetensors,history.csv,run.json}`.

    A cell that is left out, by params.yaml or because a package is not installed, stays empty.

    Parameters
    ----------
    config
        The profile.
    problem
        One of its problems.
    method
        One of its methods.
    """
    cell = f"{problem}/{method}"
    target = config.build / layout.TRAIN / problem / method
    settings = config.problems[problem]
    sources = files.read_json(config.build / "sources" / "methods" / f"{method}.json")
    if skipped := sources.get("skipped", ""):
        sys.stderr.write(f"{cell} is left out: {skipped}\n")
    if skipped or not settings.takes(method):
        store.assemble(target, [])
        return
    kind = paths if settings.path else lists
    with store.locked(f"{config.profile}-{problem}-{method}"):
        jobs = kind.jobs(config, problem, method)
        missing = [job for job in jobs if not store.piece(job.digest).is_dir()]
        # The coordinator stays without torch: its workers import it at the same time.
        processes.each(kind.train, missing, config.workers, f"train {cell}")
        store.assemble(target, [(job.place, job.digest) for job in jobs])
