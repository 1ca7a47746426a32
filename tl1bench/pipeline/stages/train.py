"""Stage 2: train one problem × method cell: a path a seed, or a run a λ and seed; resumably."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

from tl1bench import files
from tl1bench.config import Config
from tl1bench.errors import Tl1benchError
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
    with ExitStack() as held:
        held.enter_context(store.locked(_lock(config, problem, method)))
        jobs = kind.jobs(config, problem, method)
        missing = _missing(jobs)
        if idle := -len(missing) % processes.worker_count(config.workers):
            missing = [*missing, *_ahead(config, problem, method, idle, held)]
        # The coordinator stays without torch: its workers import it at the same time.
        processes.each(kind.train, missing, config.workers, f"train {cell}")
        store.assemble(target, [(job.place, job.digest) for job in jobs])


def _ahead(
    config: Config, problem: str, method: str, count: int, held: ExitStack
) -> list[paths.Job] | list[lists.Job]:
    """Return jobs of a later cell, to be found there as finished, for cores that would idle here.

    DVC runs one cell after another: three seeds on two cores would leave one idle half of the time.
    """
    later = list(config.methods)[list(config.methods).index(method) + 1 :]
    settings = config.problems[problem]
    for name in filter(settings.takes, later):
        sources = files.read_json(config.build / "sources" / "methods" / f"{name}.json")
        jobs = (paths if settings.path else lists).jobs(config, problem, name)
        if (found := _missing(jobs)) and not sources["skipped"]:
            try:
                held.enter_context(store.locked(_lock(config, problem, name)))
            except Tl1benchError:  # another process is at it
                return []
            return found[:count]
    return []


def _missing(jobs: list[Any]) -> list[Any]:
    return [job for job in jobs if not store.piece(job.digest).is_dir()]


def _lock(config: Config, problem: str, method: str) -> str:
    return f"{config.profile}-{problem}-{method}"
