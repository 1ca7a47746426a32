"""One training from scratch a λ and seed: the jobs of a problem with a budget."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tl1bench import files
from tl1bench.config import DENSE
from tl1bench.pipeline import cells, processes, provenance, store
from tl1bench.results import layout, run_name

if TYPE_CHECKING:
    from tl1bench.config import Config


@dataclass(frozen=True)
class Job:
    """One training; its piece is one run."""

    config: Config
    problem: str
    method: str
    step: int
    lam: float
    seed: int
    index: int
    digest: str
    length: float

    @property
    def place(self) -> str:
        """Where its run lies below the cell."""
        return run_name(self.step, self.seed)


def jobs(config: Config, problem: str, method: str) -> list[Job]:
    """Return one job a λ and seed.

    Parameters
    ----------
    config
        The profile.
    problem, method
        The cell.

    Returns
    -------
    list of Job
        λs rise; a step counts them from 1, from 0 for dense.
    """
    settings = config.methods[method].on(problem)
    depends = cells.depends(config, problem, method, "lists", frozenset({"lam", "growth"}))
    budget = config.problems[problem].budget
    assert budget is not None
    # Of two problems with iterations, not epochs, the larger network takes longer.
    length = cells.epoch_length(config, problem) * (budget.epochs + budget.debias_epochs or 1)
    first = 0 if method == DENSE else 1
    points = [
        (step, lam, seed) for step, lam in enumerate(settings.lam, first) for seed in config.seeds
    ]
    return [
        Job(
            config, problem, method, step, lam, seed, index,
            provenance.digest({**depends, "step": step, "lam": lam, "seed": seed}), length,
        )
        for index, (step, lam, seed) in enumerate(points)
    ]  # fmt: skip


def train(job: Job, tick: processes.Tick) -> None:
    """Train one network and keep `{weights.safetensors,history.csv,run.json}`."""
    from safetensors.torch import save_file

    from tl1bench import neurons, training
    from tl1bench.pipeline import loading, objects

    problem = job.config.problems[job.problem]
    method = job.config.methods[job.method].on(job.problem)
    assert problem.budget is not None
    training.prepare_process()
    device = training.choose_device(job.config.device, job.index)
    data, split = loading.split(job.config, problem)
    penalty = objects.penalty(job.method, method, problem, job.lam)
    model = objects.network(problem, data.input_shape, data.outputs, job.seed).to(device)
    found = files.read_json(job.config.build / "sources" / "problems" / f"{job.problem}.json")
    trained = training.train(
        model,
        objects.optimizer(method, problem, penalty),
        neurons.Anatomy.from_json(found["neurons"], model),
        training.Examples.of(split.x_train, split.y_train, data.scale, device, data.task),
        training.Examples.of(split.x_val, split.y_val, data.scale, device, data.task),
        problem.budget,
        job.seed,
        tick=lambda done, total: tick(done / total),
    )
    numbers = {
        "problem": job.problem,
        "method": job.method,
        "step": job.step,
        "lam": job.lam,
        "seed": job.seed,
        "profile": job.config.profile,
        "val_error_pct": trained.val_error_pct,
        "nonzero_weights": trained.nonzero_weights,
        "weights_dense": trained.weights_dense,
        "train_seconds": trained.seconds,
        "iterations": trained.iterations,
        "device": device.type,
    }
    with files.atomic_path(store.piece(job.digest)) as draft:
        draft.mkdir()
        save_file(trained.state, draft / layout.WEIGHTS)
        _write_csv(draft / layout.HISTORY, trained.history)
        files.write_json(draft / layout.RUN, numbers)


def _write_csv(target: Path, rows: list[dict[str, float | int | str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(target, text.getvalue())
