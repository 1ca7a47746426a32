"""An epoch over examples that lie in memory: the pipeline's own training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from tl1bench.tasks import Task
from tl1bench.training.augmentation import Augmentation
from tl1bench.training.evaluation import loss
from tl1bench.training.examples import Examples


@dataclass
class Epochs:
    """Trains one epoch at a call; `between` runs after every `every` iterations.

    Parameters
    ----------
    examples
        What is learnt from; an incomplete last batch is left out.
    batch
        Examples an iteration.
    augmentation
        What happens to images.
    every
        Iterations between two calls of `between`; 0 is never.
    """

    examples: Examples
    batch: int = 128
    augmentation: Augmentation = field(default_factory=Augmentation)
    every: int = 0
    between: Callable[[], None] | None = None

    def __call__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """Train one epoch with the task's loss, in an order from torch's global generator.

        Returns its mean over the epoch.
        """
        device, turn = self.examples.y.device, 0
        total = torch.zeros((), device=device)
        # All of an epoch at once: a card waits at each copy.
        order = torch.randperm(len(self.examples)).to(device)
        drawn = self.augmentation.draw(len(order), torch.default_generator).to(device)
        parts = zip(order.split(self.batch), drawn.split(self.batch, 1), strict=True)
        for turn, (rows, changes) in enumerate(parts, 1):
            if len(rows) < self.batch and turn > 1:
                return float(total) / (turn - 1)
            x, y = self.examples.changed(rows, self.augmentation, changes)
            total += _iterate(model, optimizer, x, y, self.examples.task)
            if self.between and self.every and turn % self.every == 0:
                self.between()
        return float(total) / turn


def _iterate(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    task: Task,
) -> torch.Tensor:
    # A function of its own: the graph must be gone before the network may shrink.
    optimizer.zero_grad(set_to_none=True)
    found = loss(model(x), y, task)
    found.backward()
    optimizer.step()
    return found.detach()
