"""Stage 2: train a path a method and seed, or a run a λ and seed; resumably.

One process pool serves all problems and methods, the longest jobs first, so that no core waits for
another; finished jobs are kept, so a new method trains only its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tl1bench import files
from tl1bench.config import Config
from tl1bench.pipeline import lists, paths, processes, store
from tl1bench.results import layout

Job = paths.Job | lists.Job


@dataclass(frozen=True)
class _Cell:
    """A problem × method: its jobs, or why it has none."""

    jobs: Sequence[Job] = ()
    left_out: str = ""


def run(config: Config, problem: str | None = None, method: str | None = None) -> bool:
    """Write `train/<problem>/<method>/<run>/{weights.safetensors,history.csv,run.json}`.

    A cell that is left out, by params.yaml or because a package is not installed, says why.

    Parameters
    ----------
    config
        The profile.
    problem, method
        The only ones to train; all when None.

    Returns
    -------
    bool
        Whether some jobs were found finished.
    """
    target = config.build / layout.TRAIN
    with store.locked(f"{config.profile}-train"):
        cells = {
            f"{name}/{way}": _cell(config, name, way)
            for name in ([problem] if problem else config.problems)
            for way in ([method] if method else config.methods)
        }
        jobs = [job for cell in cells.values() for job in cell.jobs]
        missing = [job for job in jobs if not store.piece(job.digest).is_dir()]
        # The coordinator stays without torch: its workers import it at the same time.
        lengths = [job.length for job in missing]
        processes.each(_train, missing, config.workers, "train", lengths, config.device)
        if problem or method:
            for name, cell in cells.items():
                _lay_out(target / name, {".": cell})
        else:
            _lay_out(target, cells)
    return len(missing) < len(jobs)


def _cell(config: Config, problem: str, method: str) -> _Cell:
    settings = config.problems[problem]
    if not settings.takes(method):
        return _Cell(left_out=f"{method} is not among problems.{problem}.methods")
    sources = files.read_json(config.build / "sources" / "methods" / f"{method}.json")
    if skipped := sources.get("skipped", ""):
        sys.stderr.write(f"{problem}/{method} is left out: {skipped}\n")
        return _Cell(left_out=skipped)
    if settings.path:
        return _Cell(paths.jobs(config, problem, method))
    return _Cell(lists.jobs(config, problem, method))


def _train(job: Job, tick: processes.Tick) -> None:
    if isinstance(job, paths.Job):
        paths.train(job, tick)
    else:
        lists.train(job, tick)


def _lay_out(target: Path, cells: Mapping[str, _Cell]) -> None:
    pieces = [(f"{at}/{job.place}", job.digest) for at, cell in cells.items() for job in cell.jobs]
    reasons = {
        f"{at}/{layout.LEFT_OUT}": cell.left_out for at, cell in cells.items() if cell.left_out
    }
    store.assemble(target, pieces, reasons)
