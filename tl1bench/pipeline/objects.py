"""From a configured method on a problem to the objects that train it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from tl1bench import models, neurons, optimizers, penalties
from tl1bench.errors import ConfigError

if TYPE_CHECKING:
    from tl1bench.config import Method, Problem


def penalty(name: str, method: Method, problem: Problem, lam: float) -> penalties.Penalty:
    """Build the method's penalty; the problem's μ applies unless the method sets its own.

    Parameters
    ----------
    name
        The method's, for the message.
    method
        How it is configured.
    problem
        What it is trained on.
    lam
        λ.

    Returns
    -------
    Penalty
        With all hyper-parameters.

    Raises
    ------
    ConfigError
        A hyper-parameter is unknown or out of its range.
    """
    hyper: dict[str, Any] = dict(method.hyper)
    takes_mu = "mu" in {f.name for f in dataclasses.fields(penalties.kind(method.penalty))}
    if takes_mu and problem.mu is not None and not hyper.keys() & {"mu", "mu_first", "mu_last"}:
        hyper["mu"] = problem.mu[0] if len(problem.mu) == 1 else problem.mu
    try:
        return penalties.load(method.penalty, lam=lam, **hyper)
    except ConfigError as error:
        raise ConfigError(f"methods.{name}: {error}") from error


def network(problem: Problem, input_shape: Sequence[int], outputs: int, seed: int) -> nn.Module:
    """Build the problem's network with the initial weights of `seed`.

    Parameters
    ----------
    problem
        Names the network and its options.
    input_shape
        Shape of one example.
    outputs
        How many: one a class, or one for a number.
    seed
        Of the initial weights.

    Returns
    -------
    Module
        On the CPU.
    """
    return models.build(problem.network.name, input_shape, outputs, seed, **problem.network.options)


def optimizer(
    method: Method, problem: Problem, regulariser: penalties.Penalty
) -> Callable[[nn.Module, neurons.Anatomy], optimizers.ProximalOptimizer]:
    """Return what builds the method's optimiser once the network is on its device.

    Parameters
    ----------
    method
        Names the optimiser.
    problem
        Gives rate, momentum and layer weights.
    regulariser
        The penalty.

    Returns
    -------
    callable
        Takes the network and its anatomy.
    """
    kind = optimizers.kind(method.optimizer)
    options: dict[str, Any] = {}
    if problem.budget:
        options = {"lr": problem.budget.lr, "momentum": problem.budget.momentum}
    elif problem.path:
        options = {"lr": problem.path.lr}

    def make(model: nn.Module, anatomy: neurons.Anatomy) -> optimizers.ProximalOptimizer:
        return kind(
            model,
            regulariser,
            **options,
            groups=anatomy.groups,
            layer_weights=problem.layer_weights,
        )

    return make
