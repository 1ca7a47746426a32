"""Stage 1: train the dense start that all paths of a problem and seed share, and dense itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from tl1bench import files, tasks
from tl1bench.config import DENSE
from tl1bench.pipeline import cells, path_objects, processes, provenance, store
from tl1bench.results import guessing, layout

if TYPE_CHECKING:
    from tl1bench.config import Config

# What of a problem the dense start does not see.
_UNSEEN = {"path", "methods", "groups", "layer_weights"}
_LATER = {"growth", "epochs", "branch_below", "margin_pct", "steps", "shrink_every", "align"}


@dataclass(frozen=True)
class _Job:
    config: Config
    problem: str
    seed: int
    index: int
    digest: str
    length: float


def run(config: Config) -> None:
    """Write `start/<problem>/seed-…/`: the start, and numbers and weights of the dense network.

    A problem with a budget has no paths, and no folder.

    Parameters
    ----------
    config
        The profile.
    """
    with store.locked(f"{config.profile}-start"):
        jobs = [job for name in config.problems for job in _jobs(config, name)]
        missing = [job for job in jobs if not store.piece(job.digest).is_dir()]
        lengths = [job.length for job in missing]
        processes.each(_train, missing, config.workers, "start", lengths, config.device)
        store.assemble(
            config.build / layout.START,
            [(f"{job.problem}/{layout.start_name(job.seed)}", job.digest) for job in jobs],
        )
    for job in jobs:
        _warn(job)


def _jobs(config: Config, name: str) -> list[_Job]:
    sources, problem = config.build / "sources", config.problems[name]
    if problem.path is None:
        return []
    depends = {
        "problem": problem.model_dump(mode="json", exclude=_UNSEEN),
        "path": problem.path.model_dump(mode="json", exclude=_LATER),
        "dense": config.methods[DENSE].on(name).model_dump(mode="json"),
        "problem_sources": files.read_json(sources / "problems" / f"{name}.json"),
        "code": files.read_json(sources / "methods" / f"{DENSE}.json")["paths"],
        "device": config.device,
    }
    plan = problem.path
    epochs = plan.dense_epochs + (plan.dense_branch_epochs or plan.branch_epochs)
    length = cells.epoch_length(config, name) * epochs
    return [
        _Job(config, name, seed, index, provenance.digest({**depends, "seed": seed}), length)
        for index, seed in enumerate(config.seeds)
    ]


def _train(job: _Job, tick: processes.Tick) -> None:
    from tl1bench import training
    from tl1bench.pipeline import loading, objects
    from tl1bench.training import around, dense, evaluation
    from tl1bench.training.runner import Runner

    problem = job.config.problems[job.problem]
    settings = job.config.methods[DENSE].on(job.problem)
    training.prepare_process()
    device = training.choose_device(job.config.device, job.index)
    data, split = loading.split(job.config, problem)
    model, plan = path_objects.network(problem, data, job.seed, device), path_objects.plan(problem)
    whole = plan.dense_epochs + (plan.dense_branch_epochs or plan.branch_epochs)
    runner = Runner(
        *path_objects.loop(problem, data, split, device),
        plan,
        seed=job.seed,
        tick=lambda done, total, what: tick(done / whole),
    )
    lam = max((0.0, *settings.lam))
    penalty = objects.penalty(DENSE, settings, problem, lam)
    with around.own_random():
        found, finished = dense.train(
            runner, model, plan, lambda network, lr: path_objects.sgd(network, penalty, lr)
        )
    with files.atomic_path(store.piece(job.digest)) as draft:
        draft.mkdir()
        path_objects.keep_dense(draft, found, model, finished, lam)
        validation = training.Examples.of(split.x_val, split.y_val, data.scale, device, data.task)
        predicted = evaluation.predictions(finished, validation).cpu().numpy()
        against = guessing.against_guessing(data.task, predicted, split.y_val, split.y_train)
        files.write_json(draft / layout.GUESSING, dataclasses.asdict(against))


def _warn(job: _Job) -> None:
    """Say loudly where dense did no better than guessing: nothing that follows means anything."""
    file = store.piece(job.digest) / layout.GUESSING
    if not file.is_file():
        return
    found = guessing.Against(**files.read_json(file))
    if not found.learned:
        task = tasks.load(job.config.datasets[job.config.problems[job.problem].dataset].task)
        said = guessing.alarm(f"{job.problem} (seed {job.seed})", task, found)
        console = Console(stderr=True, soft_wrap=True)
        console.print(said, style="bold red", markup=False, highlight=False)
