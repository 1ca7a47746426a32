"""The dense start of a path, shared by all methods, and the dense network that it is judged by."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import plain_optimizer
from tl1bench.training.plan import Plan
from tl1bench.training.runner import Runner


@dataclass(frozen=True)
class Dense:
    """A dense start: `iterations` an epoch, and the `error` of a dense network trained to its end.

    `seconds` is what the start took, without that network's own annealing; `finished_seconds` both.
    `loss` is the mean training loss of the last epoch, NaN where it is not known.
    """

    iterations: int
    error: float
    seconds: float = 0.0
    finished_seconds: float = 0.0
    loss: float = math.nan


def train(
    runner: Runner,
    model: nn.Module,
    plan: Plan,
    make_optimizer: Callable[[nn.Module, float], ProximalOptimizer] = plain_optimizer,
) -> tuple[Dense, nn.Module]:
    """Train the dense start in place and, from a copy of it, the dense network.

    Parameters
    ----------
    runner
        Trains and judges.
    model
        A fresh network, or a trained one where the plan has no dense epochs.
    plan
        Rate and lengths.
    make_optimizer
        Of the annealing; takes network and rate.

    Returns
    -------
    Dense
        Numbers.
    Module
        The dense network, trained to its end; `model` itself where the plan has no dense epochs.

    Raises
    ------
    ConfigError
        `train_epoch` takes no step.
    """
    trained = plan.dense_epochs == 0
    error = runner.judged(model) if trained else math.nan
    optimizer, count = plain_optimizer(model, plan.lr), 0

    def counted(*_: Any) -> None:
        nonlocal count
        count += 1

    hook = optimizer.register_step_pre_hook(counted)
    epochs = max(1, plan.dense_epochs)
    for number in range(epochs):
        loss = runner.epoch(model, optimizer, what="dense start", number=number, kind="dense start")
    hook.remove()
    iterations, seconds = count // epochs, runner.spending.seconds["dense start"]
    if not iterations:
        raise ConfigError("train_epoch never called optimizer.step(): let it train one epoch.")
    if trained:
        return Dense(iterations, error, seconds, seconds, loss), model
    finished = copy.deepcopy(model)
    loss = runner.anneal(
        finished, make_optimizer(finished, plan.lr),
        what="dense", iterations=iterations, epochs=plan.dense_branch_epochs or plan.branch_epochs,
    )  # fmt: skip
    both = seconds + runner.spending.seconds["dense"]
    return Dense(iterations, runner.judged(finished), seconds, both, loss), finished
