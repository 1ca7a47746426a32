"""What a network makes of examples: its loss, its predictions, and how wrong they are."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from tl1bench.tasks import Task
from tl1bench.training.examples import Examples

# Small enough to stay in a core's cache: a batch of 1,000 takes a quarter longer.
_EVALUATION_BATCH = 500


def loss(outputs: torch.Tensor, y: torch.Tensor, task: Task) -> torch.Tensor:
    """Return the task's mean loss over a batch.

    Parameters
    ----------
    outputs
        (n, k) of the network.
    y
        (n,) what they should say.
    task
        What is learned.

    Returns
    -------
    Tensor
        A number to go back from.
    """
    return cast("torch.Tensor", getattr(functional, task.loss)(task.fitted(outputs), y))


@torch.no_grad()
def predictions(model: nn.Module, examples: Examples) -> torch.Tensor:
    """Return what is predicted for every example, in evaluation mode."""
    was_training = model.training
    model.eval()
    rows = torch.arange(len(examples), device=examples.y.device)
    found = [
        examples.task.predicted(model(examples.batch(r)[0])) for r in rows.split(_EVALUATION_BATCH)
    ]
    model.train(was_training)
    return torch.cat(found)


def error_pct(model: nn.Module, examples: Examples) -> float:
    """Return the task's error in percent."""
    return examples.task.error_pct(predictions(model, examples), examples.y)
