"""The one training loop: a penalised phase that makes zeros, then a debias phase that keeps them.

Every method gets the same schedule, the same initial weights and the same order of examples at
the same seed, so that runs are paired.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from tl1bench import neurons
from tl1bench.errors import Tl1benchError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.tasks import Task
from tl1bench.training.augmentation import Augmentation
from tl1bench.training.evaluation import error_pct, loss
from tl1bench.training.examples import Examples
from tl1bench.training.schedule import Schedule
from tl1bench.training.shrinker import Shrinker

if TYPE_CHECKING:
    from tl1bench.config import Budget

# Readings along the way; at twelve whole readings a run would spend a third of its time on them.
_GLANCE = 1000
History = list[dict[str, float | int | str]]


@dataclass(frozen=True)
class Trained:
    """What a run leaves: full-size weights on the CPU, the curve and the closing numbers.

    `val_error_pct` is of the whole validation split, that of the curve of its first 1,000 examples.
    """

    state: dict[str, torch.Tensor]
    history: History
    val_error_pct: float
    nonzero_weights: int
    weights_dense: int
    iterations: int
    seconds: float


# What dropout draws comes from torch's own generator, which a caller finds as it was.
@torch.random.fork_rng(devices=[])
def train(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module, neurons.Anatomy], ProximalOptimizer],
    anatomy: neurons.Anatomy,
    training: Examples,
    validation: Examples,
    budget: Budget,
    seed: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Trained:
    """Train `model` in place and return its weights in their original shapes.

    Parameters
    ----------
    model
        A fresh network on the device of the examples.
    make_optimizer
        Builds the proximal optimiser from the network and its groups.
    anatomy
        The network's units and groups.
    training, validation
        The examples to learn from, and those for choosing λ; the curve reads the first 1,000.
    budget
        Batch size, epochs, learning rates, ramp, changes of images, in-training compaction.
    seed
        Fixes the order of examples, what is shifted and mirrored, and what dropout draws.
    tick
        Called with (iterations done, iterations in all).
    clock
        Seconds; training time excludes reading the validation split.

    Returns
    -------
    Trained
        Weights, curve and closing numbers.

    Raises
    ------
    Tl1benchError
        The loss became NaN or infinite.
    """
    torch.manual_seed(seed)
    schedule = Schedule(budget, max(1, len(training) // budget.batch))
    example, _ = training.batch(torch.arange(min(4, len(training)), device=training.y.device))
    if example.dim() == 4:
        model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, anatomy)
    shrinker = Shrinker(model, optimizer, example, anatomy.units, budget.align)
    names = neurons.weight_layers(model)
    weights_dense = sum(model.get_parameter(n).numel() for n in names)
    curve = _Curve(model, optimizer, schedule, validation.first(_GLANCE), clock)
    batches = _Batches(training, budget, seed)
    model.train()
    for t in range(schedule.total):
        x, y = batches.draw(t % schedule.iterations_per_epoch)
        if t == schedule.penalised:
            optimizer.freeze_zeros()
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr(t)
        optimizer.lam_scale = schedule.lam_scale(t)
        curve.take(_step(model, optimizer, x, y, training.task))
        if budget.shrink_every and (t + 1) % budget.shrink_every == 0:
            shrinker.shrink()
        if t + 1 in curve.marks:
            curve.read(t)
            tick(t + 1, schedule.total)
            curve.go_on()
    # Units that feed nothing keep weights that no longer matter: they go, for every method alike.
    shrinker.finish()
    state = shrinker.full_state()
    return Trained(
        state={name: value.cpu() for name, value in state.items()},
        history=curve.history,
        val_error_pct=error_pct(model, validation),
        nonzero_weights=_nonzero(model, names),
        weights_dense=weights_dense,
        iterations=schedule.total,
        seconds=curve.seconds,
    )


class _Batches:
    """The training examples in an order of their own for each epoch, changed as the budget says."""

    def __init__(self, training: Examples, budget: Budget, seed: int) -> None:
        self._training, self._budget = training, budget
        self._augmentation = Augmentation(budget.shift, budget.flip)
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.long)

    def draw(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch at `position` of its epoch; position 0 begins a new one."""
        training, batch = self._training, self._budget.batch
        if position == 0:
            order = torch.randperm(len(training), generator=self._generator)
            self._order = order.to(training.y.device)  # once: a card waits at each copy
        rows = self._order[position * batch : (position + 1) * batch]
        drawn = self._augmentation.draw(len(rows), self._generator)
        drawn = drawn.to(rows.device, non_blocking=True)
        return training.changed(rows, self._augmentation, drawn)


class _Curve:
    """Readings along the way, and the seconds spent on training alone."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        schedule: Schedule,
        glance: Examples,
        clock: Callable[[], float],
    ) -> None:
        self._model, self._optimizer, self._schedule = model, optimizer, schedule
        self._glance, self._clock = glance, clock
        self._names = neurons.weight_layers(model)
        self.marks = schedule.curve()
        self.history: History = []
        self.seconds = 0.0
        self._loss = torch.zeros((), device=glance.y.device)
        self._since, self._started = 0, clock()

    def take(self, found: torch.Tensor) -> None:
        """Take notice of the loss of one iteration."""
        self._loss += found
        self._since += 1

    def read(self, t: int) -> None:
        """Add a reading after iteration `t`, counted from 0; the clock stands still meanwhile."""
        self.seconds += self._clock() - self._started
        mean_loss = float(self._loss) / self._since
        if not math.isfinite(mean_loss):
            raise Tl1benchError(
                f"The loss became {mean_loss} by iteration {t + 1}: lower the learning rate "
                "(budget.lr or budget.debias_lr) of this problem."
            )
        self.history.append(
            {
                "iteration": t + 1,
                "epoch": (t + 1) / self._schedule.iterations_per_epoch,
                "phase": "train" if t < self._schedule.penalised else "debias",
                "train_loss": mean_loss,
                "penalty_value": float(self._optimizer.penalty_value()),
                "val_error_pct": error_pct(self._model, self._glance),
                "nonzero_weights": _nonzero(self._model, self._names),
                "seconds": self.seconds,
            }
        )
        self._loss.zero_()
        self._since = 0

    def go_on(self) -> None:
        """Let the clock run again."""
        self._started = self._clock()


def _step(
    model: nn.Module,
    optimizer: ProximalOptimizer,
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


def _nonzero(model: nn.Module, names: tuple[str, ...]) -> int:
    return sum(int(torch.count_nonzero(model.get_parameter(n))) for n in names)
