"""`path`: the whole front of a network in one run, for anybody's training loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from tl1bench import neurons, progress
from tl1bench.methods.penalised import Penalised
from tl1bench.penalties import Penalty
from tl1bench.tracing.arguments import as_tuple
from tl1bench.training.method import Method
from tl1bench.training.path import Walk
from tl1bench.training.plan import Plan
from tl1bench.training.points import Points
from tl1bench.training.runner import Evaluate, TrainEpoch


def path(
    model: nn.Module,
    method: Penalty | Method,
    *,
    train_epoch: TrainEpoch,
    evaluate: Evaluate,
    example_inputs: Tensor | tuple[Tensor, ...],
    lr: float = 0.1,
    growth: float = 1.35,
    epochs: int = 2,
    branch_epochs: int = 8,
    branch_below: float = 0.6,
    dense_epochs: int = 1,
    margin: float = 1.0,
    steps: int = 30,
    align: int = 1,
    groups: str | Sequence[str] = "outgoing",
    seed: int = 0,
    folder: str | Path | None = None,
) -> Points:
    """Make `model` sparser step by step and return a finished network for each step.

    Any task will do: the loss is yours, and so is the error.

    Parameters
    ----------
    model
        Any network that `torch.export` can trace; it is trained, and made smaller, in place.
    method
        A penalty of `tl1bench.penalties`, whose λ is found and raised, or a method of
        `tl1bench.methods`.
    train_epoch
        Called with (network, optimizer); trains one epoch with that optimizer's `step()` and leaves
        its learning rate alone. What it returns is not looked at.
    evaluate
        Called with a network in eval mode; returns a finite number of which less is better.
    example_inputs
        Inputs with a batch of at least 2 samples in their first dimension.
    lr, growth, epochs, branch_epochs, branch_below, dense_epochs, margin, steps, align
        See `tl1bench.training.plan.Plan`.
    groups
        Side from which neurons are seen, see `ProximalOptimizer`.
    seed
        Of the global generators of torch, numpy and Python, which are seeded before each epoch.
    folder
        Where finished steps are kept; the same call goes on there after an interruption, bit for
        bit where nothing is random but those generators.

    Returns
    -------
    Points
        In the order of the steps. When `train_epoch` or `evaluate` fails on the way, or the error
        is no finite number, `ended` says so and the points so far are there.

    Raises
    ------
    ConfigError
        A setting is out of range, `folder` holds another path, or the penalty makes no zeros.
    CompactionError
        The network cannot be traced.
    """
    plan = Plan(
        lr=lr, growth=growth, epochs=epochs, branch_epochs=branch_epochs,
        branch_below=branch_below, dense_epochs=dense_epochs, margin=margin, steps=steps,
        align=align,
    )  # fmt: skip
    inputs = as_tuple(example_inputs)
    with progress.steps("path") as move:
        walk = Walk(
            model,
            Penalised(method) if isinstance(method, Penalty) else method,
            train_epoch=train_epoch,
            evaluate=evaluate,
            example_inputs=inputs,
            plan=plan,
            anatomy=neurons.Anatomy.of(model, inputs, groups),
            seed=seed,
            folder=None if folder is None else Path(folder),
            tick=move,
        )
        return walk.points()
