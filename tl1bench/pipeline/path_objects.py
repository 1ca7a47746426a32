"""From a configured problem and method to the objects that walk a path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tl1bench import files
from tl1bench.config import PENALISED
from tl1bench.errors import ConfigError
from tl1bench.results import layout

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tl1bench import methods, optimizers, penalties
    from tl1bench.config import Method, Problem
    from tl1bench.datasets import Dataset, Split
    from tl1bench.training.dense import Dense
    from tl1bench.training.epochs import Epochs
    from tl1bench.training.plan import Plan


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

    model = objects.network(problem, data.input_shape, data.outputs, seed).to(device)
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
    examples = training.Examples.of(split.x_train, split.y_train, data.scale, device, data.task)
    validation = training.Examples.of(split.x_val, split.y_val, data.scale, device, data.task)
    # A table of a hundred rows is to be learnt in as many epochs as one of ten thousand; in fewer
    # iterations a step the first λ would be so large that it takes the network apart at once.
    batch = min(128, max(8, len(examples) // 200)) if path.batch == "auto" else path.batch
    changes = training.Augmentation(path.shift, path.flip)
    epochs = Epochs(examples, batch=batch, augmentation=changes, every=path.shrink_every)
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
        align=path.align,
    )


def method(
    name: str, settings: Method, problem: Problem, others: Mapping[str, Method]
) -> methods.Method:
    """Build what makes a network sparser along a path.

    Parameters
    ----------
    name
        The method's, for the message.
    settings
        How it is configured for the problem.
    problem
        What it is tried on.
    others
        All methods, configured for the problem: one may be built upon another, named `of`.

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
            hyper = dict(settings.hyper)
            of = str(hyper.get("of", ""))
            if of in others:
                hyper["of"] = method(of, others[of], problem, {})
            return methods.load(settings.method, **hyper)
        return methods.load(
            PENALISED,
            penalty=objects.penalty(name, settings, problem, lam=1.0),
            layer_weights=problem.layer_weights,
            lams=settings.lam,
            optimizer=settings.optimizer,
            growth=settings.growth,
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
