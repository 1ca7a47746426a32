"""Epochs and annealings of anybody's training loop: seeded, timed, counted, judged."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tl1bench.errors import Tl1benchError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.around import at_each, seed_all
from tl1bench.training.epochs import Epochs
from tl1bench.training.plan import Plan
from tl1bench.training.shrinker import Shrinker
from tl1bench.training.skipping import zeros_skipped
from tl1bench.training.spending import Spending

TrainEpoch = Callable[[nn.Module, torch.optim.Optimizer], Any]
Evaluate = Callable[[nn.Module], float]
Tick = Callable[[int, int, str], None]


class Runner:
    """Runs a user's `train_epoch` and `evaluate` for a path.

    The global generators of torch, numpy and Python are seeded before each epoch by what epoch it
    is: all methods see the same order of examples in the same step.

    Parameters
    ----------
    train_epoch
        Called with (network, optimizer); trains one epoch.
    evaluate
        Called with a network in eval mode; less is better.
    plan
        How the path is walked.
    seed
        Of the generators.
    tick
        Called with (epochs done, at most, what is done next).
    clock
        Seconds.
    """

    def __init__(
        self,
        train_epoch: TrainEpoch,
        evaluate: Evaluate,
        plan: Plan,
        *,
        seed: int = 0,
        tick: Tick = lambda done, total, what: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._train_epoch, self._evaluate, self._plan = train_epoch, evaluate, plan
        self.seed, self._tick, self._epochs_done = seed, tick, 0
        self.spending = Spending(clock)

    def epoch(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        *,
        what: str,
        number: int,
        kind: str = "",
        shrinker: Shrinker | None = None,
    ) -> float:
        """Train one epoch and cut out of the network what died meanwhile.

        Parameters
        ----------
        model, optimizer
            What is trained, and by what.
        what
            Which part of the path the epoch belongs to, such as `step 3`.
        number
            Of the epoch in this part, from 0.
        kind
            What its time is put down to; the first word of `what` when not given.
        shrinker
            Cuts; None for not at all.

        Returns
        -------
        float
            What `train_epoch` returned if that is a number, else NaN: the mean loss, as a rule.
        """
        self._tick(self._epochs_done, self._plan.longest, what)
        model.train()
        seed_all(f"{self.seed} {what} {number}")
        if isinstance(self._train_epoch, Epochs):
            self._train_epoch.between = lambda: self._cut(shrinker)
        with self.spending.on(kind or what.split()[0]), zeros_skipped(model, optimizer):
            said = self._train_epoch(model, optimizer)
        self._epochs_done += 1
        optimizer.zero_grad(set_to_none=True)
        self._cut(shrinker)
        return float(said) if isinstance(said, int | float | torch.Tensor) else math.nan

    def anneal(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        *,
        what: str,
        iterations: int,
        epochs: int,
        shrinker: Shrinker | None = None,
    ) -> float:
        """Train with a rate that falls linearly from the plan's to 0.

        Parameters
        ----------
        model, optimizer
            What is trained, and by what.
        what
            As for `epoch`.
        iterations
            Of the optimiser, in one epoch.
        epochs
            How many.
        shrinker
            As for `epoch`.

        Returns
        -------
        float
            The last epoch's mean loss, as `epoch` returns it.
        """
        loss = math.nan

        def fall(share: float) -> None:
            for group in optimizer.param_groups:
                group["lr"] = self._plan.lr * max(0.0, 1 - share)

        with at_each(optimizer, epochs * iterations, fall):
            for number in range(epochs):
                loss = self.epoch(model, optimizer, what=what, number=number, shrinker=shrinker)
        return loss

    def judged(self, model: nn.Module) -> float:
        """Return the error of `model`.

        Raises
        ------
        Tl1benchError
            It is no finite number.
        """
        model.eval()
        with torch.no_grad(), self.spending.on("evaluation"):
            error = float(self._evaluate(model))
        if not math.isfinite(error):
            raise Tl1benchError(f"evaluate returned {error}: training diverged, or lower lr.")
        return error

    def _cut(self, shrinker: Shrinker | None) -> None:
        if shrinker is not None:
            with self.spending.on("compaction"):
                shrinker.shrink()
