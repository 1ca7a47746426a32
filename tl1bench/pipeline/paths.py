"""One path a method and seed: the jobs of a problem with a path, and the runs that they leave."""

from __future__ import annotations

import dataclasses
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files
from tl1bench.config import DENSE
from tl1bench.pipeline import cells, path_objects, processes, provenance, store
from tl1bench.results import layout, run_name

if TYPE_CHECKING:
    from tl1bench.config import Config
    from tl1bench.training.points import Point, Points


@dataclass(frozen=True)
class Job:
    """One path: its piece holds a run for each point, or dense's own for the dense method."""

    config: Config
    problem: str
    method: str
    seed: int
    index: int
    digest: str
    length: float

    @property
    def place(self) -> str:
        """Where its runs lie below the cell."""
        return "."


def jobs(config: Config, problem: str, method: str) -> list[Job]:
    """Return one job a seed.

    Parameters
    ----------
    config
        The profile.
    problem, method
        The cell.

    Returns
    -------
    list of Job
        In the order of seeds.
    """
    depends = cells.depends(config, problem, method, "paths")
    plan = config.problems[problem].path
    assert plan is not None
    most = 1 if method == DENSE else plan.steps * (plan.epochs + plan.branch_epochs)
    length, found = cells.epoch_length(config, problem) * most, []
    for index, seed in enumerate(config.seeds):
        folder = started(config, problem, seed)
        start = [provenance.file_digest(folder / n) for n in (layout.BEGINNING, layout.DENSE_START)]
        digest = provenance.digest({**depends, "seed": seed, "start": start})
        found.append(Job(config, problem, method, seed, index, digest, length))
    return found


def started(config: Config, problem: str, seed: int) -> Path:
    """Return the folder of the dense start of a problem and seed.

    Parameters
    ----------
    config
        The profile.
    problem
        One of its problems, with a path.
    seed
        One of its seeds.

    Returns
    -------
    Path
        Written by the stage `start`.
    """
    return config.build / layout.START / problem / layout.start_name(seed)


def train(job: Job, tick: processes.Tick) -> None:
    """Walk one path, or take over the dense network, and keep what it leaves."""
    if job.method == DENSE:
        _take_dense(job)
        return
    kept = store.WORK / "paths" / job.digest
    points = _walk(job, kept, tick)
    with files.atomic_path(store.piece(job.digest)) as draft:
        draft.mkdir()
        for point in points:
            _write(job, points, point, draft / run_name(point.step, job.seed))
        files.write_json(
            draft / layout.path_name(job.seed),
            {"ended": points.ended, "dense_error": points.dense_error,
             "seconds": {k: round(v, 3) for k, v in points.seconds.items()},
             "course": list(points.course)},
        )  # fmt: skip
    files.remove(kept)


def _walk(job: Job, kept: Path, tick: processes.Tick) -> Points:
    import torch
    from safetensors.torch import load_file

    from tl1bench import training
    from tl1bench.neurons import Anatomy
    from tl1bench.pipeline import loading
    from tl1bench.training.dense import Dense
    from tl1bench.training.path import Walk

    problem = job.config.problems[job.problem]
    settings = job.config.methods[job.method].on(job.problem)
    training.prepare_process()
    device = training.choose_device(job.config.device, job.index)
    data, split = loading.split(job.config, problem)
    folder = started(job.config, job.problem, job.seed)
    numbers = files.read_json(folder / layout.DENSE_START)
    model = path_objects.network(problem, data, job.seed, device)
    model.load_state_dict(load_file(folder / layout.BEGINNING))
    found = files.read_json(job.config.build / "sources" / "problems" / f"{job.problem}.json")
    epochs, evaluate = path_objects.loop(problem, data, split, device)
    first = torch.arange(min(4, len(epochs.examples)), device=device)
    return Walk(
        model,
        path_objects.method(job.method, settings, problem, job.config.methods_on(job.problem)),
        train_epoch=epochs,
        evaluate=evaluate,
        example_inputs=(epochs.examples.batch(first)[0],),
        plan=path_objects.plan(problem, len(settings.lam)),
        anatomy=Anatomy.from_json(found["neurons"], model),
        seed=job.seed,
        start=Dense(**{f.name: numbers[f.name] for f in dataclasses.fields(Dense)}),
        folder=kept,
        tick=lambda done, total, what: tick(done / total),
    ).points()


def _take_dense(job: Job) -> None:
    folder = started(job.config, job.problem, job.seed)
    path = path_objects.plan(job.config.problems[job.problem])
    numbers = files.read_json(folder / layout.DENSE_START)
    epochs = path.dense_epochs + (path.dense_branch_epochs or path.branch_epochs)
    row = {
        "epoch": epochs, "iteration": epochs * numbers["iterations"], "phase": "train",
        "train_loss": numbers["loss"], "val_error_pct": numbers["error"],
        "nonzero_weights": numbers["nonzero_weights"], "seconds": numbers["finished_seconds"],
    }  # fmt: skip
    with files.atomic_path(store.piece(job.digest)) as draft:
        target = draft / run_name(0, job.seed)
        target.mkdir(parents=True)
        shutil.copy2(folder / layout.WEIGHTS, target / layout.WEIGHTS)
        _write_history(target, [row])
        _write_numbers(
            job, target, step=0, level=numbers["lam"], error=numbers["error"],
            nonzero=numbers["nonzero_weights"], seconds=numbers["finished_seconds"],
        )  # fmt: skip


def _write(job: Job, points: Points, point: Point, target: Path) -> None:
    from safetensors.torch import save_file

    target.mkdir()
    save_file(path_objects.plain(dict(point.state)), target / layout.WEIGHTS)
    path = path_objects.plan(job.config.problems[job.problem])
    rows: list[dict[str, Any]] = [
        {**row, "phase": "train"} for row in points.course if row["step"] <= point.step
    ]
    last = {
        "step": point.step, "level": point.level, "phase": "debias", "train_loss": point.loss,
        "epoch": path.dense_epochs + point.step * path.epochs + path.branch_epochs,
        "val_error_pct": point.error, "nonzero_weights": point.nonzero_weights,
        "seconds": point.seconds,
    }  # fmt: skip
    # The errors of earlier branches belong to their steps.
    errors = {p.step: p.error for p in points}
    for row in rows:
        row["val_error_pct"] = errors.get(row["step"], math.nan)
    _write_history(target, [*rows, last])
    _write_numbers(
        job, target, step=point.step, level=point.level, error=point.error,
        nonzero=point.nonzero_weights, seconds=point.seconds,
    )  # fmt: skip


def _write_history(target: Path, rows: list[dict[str, Any]]) -> None:
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    files.write_text(target / layout.HISTORY, text)


def _write_numbers(
    job: Job, target: Path, *, step: int, level: float, error: float, nonzero: int, seconds: float
) -> None:
    dense = files.read_json(started(job.config, job.problem, job.seed) / layout.DENSE_START)
    files.write_json(
        target / layout.RUN,
        {
            "problem": job.problem,
            "method": job.method,
            "step": step,
            "lam": level,
            "seed": job.seed,
            "profile": job.config.profile,
            "val_error_pct": error,
            "nonzero_weights": nonzero,
            "weights_dense": dense["weights_dense"],
            "train_seconds": seconds,
        },
    )
