"""A network of the same widths with fresh weights: what training alone makes of a size."""

from __future__ import annotations

from torch import nn

from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.around import seed_all
from tl1bench.training.plan import Plan
from tl1bench.training.runner import Runner


def train(
    runner: Runner, model: nn.Module, optimizer: ProximalOptimizer, *, step: int, plan: Plan
) -> None:
    """Train fresh weights at the constant rate, as long as the path has trained its own.

    Parameters
    ----------
    runner
        Trains.
    model, optimizer
        The network whose widths count, and what trains it.
    step
        How far the path is.
    plan
        How it is walked.

    Raises
    ------
    ConfigError
        The network's weights cannot be drawn anew.
    """
    seed_all(f"{runner.seed} anew {step}")
    forget(model)
    for number in range(plan.dense_epochs + step * plan.epochs):
        runner.epoch(model, optimizer, what=f"anew {step}", number=number)


def forget(model: nn.Module) -> None:
    """Draw all parameters of `model` anew, as its modules do in the beginning, in place.

    Raises
    ------
    ConfigError
        A module has parameters of its own and no `reset_parameters`.
    """
    for name, module in model.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
        elif any(True for _ in module.parameters(recurse=False)):
            raise ConfigError(
                f"module {name!r} has parameters and no reset_parameters() to draw them anew: "
                "give it one."
            )
