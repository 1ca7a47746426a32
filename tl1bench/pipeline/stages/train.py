"""Stage 1: train every λ × seed of one problem × method cell, side by side, resumably."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tl1bench import files
from tl1bench.pipeline import processes, provenance, store
from tl1bench.results import layout, run_name

if TYPE_CHECKING:
    from tl1bench.config import Config


@dataclass(frozen=True)
class _Job:
    config: Config
    problem: str
    method: str
    lam: float
    seed: int
    index: int
    digest: str


def run(config: Config, problem: str, method: str) -> None:
    """Write `train/<problem>/<method>/<run>/{weights.safetensors,history.csv,run.json}`.

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
    with store.locked(f"{config.profile}-{problem}-{method}"):
        jobs = _jobs(config, problem, method)
        missing = [job for job in jobs if not store.piece(job.digest).is_dir()]
        # The coordinator stays without torch: its workers import it at the same time.
        processes.each(_train, missing, config.workers, f"train {cell}")
        store.assemble(
            config.build / layout.TRAIN / problem / method,
            [(run_name(job.lam, job.seed), job.digest) for job in jobs],
        )


def _jobs(config: Config, problem: str, method: str) -> list[_Job]:
    sources = config.build / "sources"
    depends = {
        "profile": config.profile,
        "problem": [problem, config.problems[problem].model_dump(mode="json")],
        "method": [
            method,
            config.methods[method].model_dump(mode="json", exclude={"lam", "lam_for"}),
        ],
        "problem_sources": files.read_json(sources / "problems" / f"{problem}.json"),
        "method_sources": files.read_json(sources / "methods" / f"{method}.json"),
        "device": config.device,
    }
    points = [(lam, seed) for lam in config.methods[method].lams(problem) for seed in config.seeds]
    return [
        _Job(
            config,
            problem,
            method,
            lam,
            seed,
            i,
            provenance.digest({**depends, "lam": lam, "seed": seed}),
        )
        for i, (lam, seed) in enumerate(points)
    ]


def _train(job: _Job, tick: processes.Tick) -> None:
    from safetensors.torch import save_file

    from tl1bench import neurons, training
    from tl1bench.pipeline import loading, objects

    problem, method = job.config.problems[job.problem], job.config.methods[job.method]
    training.prepare_process()
    device = training.choose_device(job.config.device, job.index)
    data, split = loading.split(job.config, problem)
    penalty = objects.penalty(job.method, method, problem, job.lam)
    model = objects.network(problem, data.input_shape, data.classes, job.seed).to(device)
    found = files.read_json(job.config.build / "sources" / "problems" / f"{job.problem}.json")
    trained = training.train(
        model,
        objects.optimizer(method, problem, penalty),
        neurons.Anatomy.from_json(found["neurons"], model),
        training.Examples.of(split.x_train, split.y_train, data.scale, device),
        training.Examples.of(split.x_val, split.y_val, data.scale, device),
        problem.budget,
        job.seed,
        tick=lambda done, total: tick(done / total),
    )
    numbers = {
        "problem": job.problem,
        "method": job.method,
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
