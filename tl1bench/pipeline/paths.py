"""One path a method and seed: the objects that walk it, and the runs that it leaves."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files
from tl1bench.config import DENSE, PENALISED
from tl1bench.errors import ConfigError
from tl1bench.pipeline import processes, provenance, store
from tl1bench.results import layout, run_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tl1bench import methods, optimizers, penalties
    from tl1bench.config import Config, Method, Problem
    from tl1bench.datasets import Dataset, Split
    from tl1bench.training.dense import Dense
    from tl1bench.training.epochs import Epochs
    from tl1bench.training.plan import Plan
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
    sources, settings = config.build / "sources", config.methods[method].on(problem)
    depends = {
        "profile": config.profile,
        "problem": [problem, config.problems[problem].model_dump(mode="json", exclude={"methods"})],
        "method": [method, settings.model_dump(mode="json")],
        "problem_sources": files.read_json(sources / "problems" / f"{problem}.json"),
        "code": files.read_json(sources / "methods" / f"{method}.json")["paths"],
        "device": config.device,
    }
    found = []
    for index, seed in enumerate(config.seeds):
        folder = started(config, problem, seed)
        start = [provenance.file_digest(folder / n) for n in (layout.BEGINNING, layout.DENSE_START)]
        digest = provenance.digest({**depends, "seed": seed, "start": start})
        found.append(Job(config, problem, method, seed, index, digest))
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
    model = network(problem, data, job.seed, device)
    model.load_state_dict(load_file(folder / layout.BEGINNING))
    found = files.read_json(job.config.build / "sources" / "problems" / f"{job.problem}.json")
    epochs, evaluate = loop(problem, data, split, device)
    return Walk(
        model,
        method(job.method, settings, problem),
        train_epoch=epochs,
        evaluate=evaluate,
        example_inputs=(epochs.examples.first(4).batch(epochs.examples.y.new_tensor(range(4)))[0],),
        plan=plan(problem, len(settings.lam)),
        anatomy=Anatomy.from_json(found["neurons"], model),
        seed=job.seed,
        start=Dense(**{f.name: numbers[f.name] for f in dataclasses.fields(Dense)}),
        folder=kept,
        tick=lambda done, total, what: tick(done / total),
    ).points()


def network(problem: Problem, data: Dataset, seed: int, device: torch.device) -> nn.Module:
    """Build the problem's network as it is trained.

    Parameters
    ----------
    problem
        Names the network.
    data
        Says what goes in and out.
    seed
        Of its initial weights.
    device
        Where it goes.

    Returns
    -------
    Module
        Channels last where images go in.
    """
    import torch

    from tl1bench.pipeline import objects

    model = objects.network(problem, data.input_shape, data.classes, seed).to(device)
    if len(data.input_shape) == 3:
        model.to(memory_format=torch.channels_last)
    return model


def loop(
    problem: Problem, data: Dataset, split: Split, device: torch.device
) -> tuple[Epochs, Callable[[nn.Module], float]]:
    """Return what trains an epoch and what reads the validation error [%].

    Parameters
    ----------
    problem
        Says how it is trained.
    data, split
        Its data.
    device
        Where they go.

    Returns
    -------
    Epochs
        Trains.
    callable
        Takes the network.
    """
    from tl1bench import training
    from tl1bench.training.epochs import Epochs

    path = problem.path
    assert path is not None
    examples = training.Examples.of(split.x_train, split.y_train, data.scale, device)
    validation = training.Examples.of(split.x_val, split.y_val, data.scale, device)
    epochs = Epochs(examples, batch=path.batch, shift=path.shift, every=path.shrink_every)
    return epochs, lambda model: training.error_pct(model, validation)


def plan(problem: Problem, lams: int = 0) -> Plan:
    """Return how the problem's paths are walked; as many steps as there are λs, where there are."""
    from tl1bench.training.plan import Plan

    path = problem.path
    assert path is not None
    return Plan(
        lr=path.lr,
        growth=path.growth,
        epochs=path.epochs,
        branch_epochs=path.branch_epochs,
        dense_branch_epochs=path.dense_branch_epochs,
        branch_below=path.branch_below,
        dense_epochs=path.dense_epochs,
        margin=path.margin_pct,
        steps=min(path.steps, lams) if lams else path.steps,
    )


def method(name: str, settings: Method, problem: Problem) -> methods.Method:
    """Build what makes a network sparser along a path.

    Parameters
    ----------
    name
        The method's, for the message.
    settings
        How it is configured for the problem.
    problem
        What it is tried on.

    Returns
    -------
    Method
        Fresh.

    Raises
    ------
    ConfigError
        It does not take what is configured, or needs a package that is not installed.
    """
    from tl1bench import methods
    from tl1bench.pipeline import objects

    try:
        if settings.method != PENALISED:
            return methods.load(settings.method, **settings.hyper)
        return methods.load(
            PENALISED,
            penalty=objects.penalty(name, settings, problem, lam=1.0),
            layer_weights=problem.layer_weights,
            lams=settings.lam,
            optimizer=settings.optimizer,
        )
    except ConfigError as error:
        if str(error).startswith("methods."):
            raise
        raise type(error)(f"methods.{name}: {error}") from error


def sgd(
    model: nn.Module, regulariser: penalties.Penalty, lr: float
) -> optimizers.ProximalOptimizer:
    """Return momentum SGD with a penalty.

    Parameters
    ----------
    model
        What is trained.
    regulariser
        The penalty.
    lr
        The rate.

    Returns
    -------
    ProximalOptimizer
        Fresh.
    """
    from tl1bench import optimizers

    return optimizers.ProximalSGD(model, regulariser, lr=lr)


def keep_dense(
    draft: Path, found: Dense, begun: nn.Module, finished: nn.Module, lam: float
) -> None:
    """Write the dense start, and numbers and weights of the dense network, into `draft`.

    Parameters
    ----------
    draft
        A new folder.
    found
        Numbers of the start.
    begun, finished
        The start, and the dense network.
    lam
        The dense network's λ.
    """
    from safetensors.torch import save_file

    from tl1bench import neurons
    from tl1bench.training.path import nonzero

    save_file(plain(begun.state_dict()), draft / layout.BEGINNING)
    save_file(plain(finished.state_dict()), draft / layout.WEIGHTS)
    names = neurons.weight_layers(finished)
    numbers = {
        **dataclasses.asdict(found),
        "nonzero_weights": nonzero(finished),
        "weights_dense": sum(finished.get_parameter(n).numel() for n in names),
        "lam": lam,
    }
    files.write_json(draft / layout.DENSE_START, numbers)


def plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as files hold them: on the CPU, contiguous, each by itself."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _take_dense(job: Job) -> None:
    folder, path = (
        started(job.config, job.problem, job.seed),
        plan(job.config.problems[job.problem]),
    )
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
    save_file(plain(dict(point.state)), target / layout.WEIGHTS)
    path = plan(job.config.problems[job.problem])
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
