"""A regularisation path: dense start, ever sparser steps, a branch with frozen zeros at each.

One run gives the whole front. Each step goes on from the last one's weights, units that feed
nothing are cut out of the network and the optimiser in place, so that later steps cost less, and a
branch (a copy whose zeros are held, without penalty, its rate falling to 0) turns each step into a
finished network. The global generators of torch, numpy and Python are seeded before each epoch by
what epoch it is: all methods see the same order of examples in the same step, and a path that was
killed goes on bit for bit.

Long because it is one algorithm, whose constructor says what every part of it is given.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.compaction import compact
from tl1bench.errors import CompactionError, ConfigError, Tl1benchError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training import checkpoint
from tl1bench.training.anew import forget
from tl1bench.training.around import at_each, own_random, seed_all
from tl1bench.training.epochs import Epochs
from tl1bench.training.method import Method, Start, plain_optimizer
from tl1bench.training.plan import Plan
from tl1bench.training.points import Point, Points
from tl1bench.training.shrinker import Shrinker
from tl1bench.training.spending import Spending

TrainEpoch = Callable[[nn.Module, torch.optim.Optimizer], Any]
Evaluate = Callable[[nn.Module], float]
Tick = Callable[[int, int, str], None]


class Walk:
    """One path: `points` walks it, or goes on where `folder` says that it was.

    Parameters
    ----------
    model
        The network; trained, and made smaller, in place.
    method
        What makes it sparser.
    train_epoch
        Called with (network, optimizer); trains one epoch.
    evaluate
        Called with a network in eval mode; less is better.
    example_inputs
        Inputs with a batch of at least 2.
    plan
        How the path is walked.
    groups
        Side from which neurons are seen, see `ProximalOptimizer`.
    seed
        Of the generators that are seeded before each epoch.
    folder
        Where finished steps are kept; None for nowhere.
    tick
        Called with (epochs done, at most, what is done next).
    clock
        Seconds.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        *,
        train_epoch: TrainEpoch,
        evaluate: Evaluate,
        example_inputs: tuple[Tensor, ...],
        plan: Plan,
        groups: str | Sequence[str] = "outgoing",
        seed: int = 0,
        folder: Path | None = None,
        tick: Tick = lambda done, total, what: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._method, self._plan = model, method, plan
        self._train_epoch, self._evaluate, self._tick = train_epoch, evaluate, tick
        self._inputs, self._seed = example_inputs, seed
        self._anatomy = neurons.Anatomy.of(model, example_inputs, groups)
        names = neurons.weight_layers(model)
        self._total = sum(model.get_parameter(n).numel() for n in names)
        self._kept = None if folder is None else checkpoint.Checkpoint(folder, self._described())
        self._epochs_done = 0
        self._spending = Spending(clock)

    def points(self) -> Points:
        """Walk the path to its end and return what it left.

        Raises
        ------
        ConfigError
            `folder` holds another path.
        """
        with own_random():
            return self._walk()

    def _walk(self) -> Points:
        found = self._kept.read() if self._kept else None
        progress = found or checkpoint.Progress(*self._dense())
        optimizer = self._method.begin(self._begin(progress))
        shrinker = Shrinker(self._model, optimizer, self._inputs[0], self._anatomy.units)
        if found is not None:
            checkpoint.resume(found, self._model, optimizer)
            self._method.resume(found.method)
            shrinker.shrink()
        elif self._kept:
            self._keep(progress, optimizer, shrinker)
        while not progress.ended:
            self._step(progress, optimizer, shrinker)
            if self._kept:
                self._keep(progress, optimizer, shrinker)
        return Points(
            progress.points, progress.dense_error, progress.ended, dict(self._spending.seconds)
        )

    def _begin(self, progress: checkpoint.Progress) -> Start:
        return Start(
            model=self._model,
            anatomy=self._anatomy,
            example_inputs=self._inputs,
            lr=self._plan.lr,
            iterations=progress.iterations,
            growth=self._plan.growth,
        )

    def _described(self) -> dict[str, Any]:
        """Say what a checkpoint must have been made with to be gone on with."""
        shapes = {name: list(p.shape) for name, p in self._model.named_parameters()}
        return {
            "plan": dataclasses.asdict(self._plan),
            "seed": self._seed,
            "method": repr(self._method),
            "parameters": shapes,
        }

    def _dense(self) -> tuple[int, float]:
        """Train the dense start and its branch; return iterations an epoch and the error."""
        plan, trained = self._plan, self._plan.dense_epochs == 0
        error = self._judged(self._model) if trained else math.nan
        optimizer = plain_optimizer(self._model, plan.lr)
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        hook = optimizer.register_step_pre_hook(counted)
        for epoch in range(max(1, plan.dense_epochs)):
            self._epoch(self._model, optimizer, "dense start", epoch)
        hook.remove()
        iterations = count // max(1, plan.dense_epochs)
        if not iterations:
            raise ConfigError("train_epoch never called optimizer.step(): let it train one epoch.")
        if trained:
            return iterations, error
        branch = copy.deepcopy(self._model)
        self._anneal(branch, plain_optimizer(branch, plan.lr), iterations, "dense")
        return iterations, self._judged(branch)

    def _step(
        self, progress: checkpoint.Progress, optimizer: ProximalOptimizer, shrinker: Shrinker
    ) -> None:
        """Take one step and its branch, or say why the path has ended."""
        plan, step = self._plan, progress.step + 1
        progress.step = step
        try:
            level = self._method.advance(self._left())
            length = plan.epochs * progress.iterations
            rising = at_each(optimizer, length, lambda share: self._method.during(share))
            with self._method.training(), rising:
                for epoch in range(plan.epochs):
                    self._epoch(self._model, optimizer, f"step {step}", epoch, shrinker)
            if self._left() <= plan.branch_below:
                progress.points.append(self._branch(step, level, shrinker, progress.iterations))
        except Exception as error:  # whatever a user's own loop raises ends this path alone
            reason = str(error).strip().splitlines() or [type(error).__name__]
            progress.ended = f"step {step} failed: {reason[0]}"
            return
        if progress.points and progress.points[-1].error > progress.dense_error + plan.margin:
            progress.ended = f"step {step} exceeded the dense error by more than {plan.margin:g}"
        elif step == plan.steps:
            progress.ended = f"all {step} steps were taken"

    def _branch(self, step: int, level: float, shrinker: Shrinker, iterations: int) -> Point:
        model = copy.deepcopy(self._model)
        optimizer = plain_optimizer(model, self._plan.lr)
        cutting = Shrinker(model, optimizer, self._inputs[0], shrinker.units)
        if self._method.anew:
            if shrinker.refused:
                raise CompactionError(f"no smaller network can be drawn: {shrinker.refused}.")
            self._begin_anew(model, optimizer, step)
        else:
            optimizer.freeze_zeros()
        self._anneal(model, optimizer, iterations, f"branch {step}", cutting)
        error = self._judged(model)
        with self._spending.on("proof"):
            small = compact(model, self._inputs)
        report = small.report
        return Point(
            step=step,
            level=level,
            error=error,
            nonzero_weights=nonzero(model),
            weights=report.weights_after,
            macs=report.macs_after,
            architecture=report.architecture,
            network=small.model,
        )

    def _begin_anew(self, model: nn.Module, optimizer: ProximalOptimizer, step: int) -> None:
        """Train fresh weights as long as the path has trained its own."""
        what = f"anew {step}"
        seed_all(f"{self._seed} {what}")
        forget(model)
        for epoch in range(self._plan.dense_epochs + step * self._plan.epochs):
            self._epoch(model, optimizer, what, epoch)

    def _anneal(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        iterations: int,
        what: str,
        shrinker: Shrinker | None = None,
    ) -> None:
        """Train with a rate that falls linearly to 0."""

        def fall(share: float) -> None:
            for group in optimizer.param_groups:
                group["lr"] = self._plan.lr * max(0.0, 1 - share)

        with at_each(optimizer, self._plan.branch_epochs * iterations, fall):
            for epoch in range(self._plan.branch_epochs):
                self._epoch(model, optimizer, what, epoch, shrinker)

    def _epoch(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        what: str,
        number: int,
        shrinker: Shrinker | None = None,
    ) -> None:
        plan = self._plan
        whole = 2 * plan.branch_epochs + plan.steps * (plan.epochs + plan.branch_epochs)
        self._tick(self._epochs_done, whole, what)
        model.train()
        seed_all(f"{self._seed} {what} {number}")
        if isinstance(self._train_epoch, Epochs):
            self._train_epoch.between = lambda: self._cut(shrinker)
        with self._spending.on(self._kind(what, model)):
            self._train_epoch(model, optimizer)
        self._epochs_done += 1
        optimizer.zero_grad(set_to_none=True)
        self._cut(shrinker)

    def _kind(self, what: str, model: nn.Module) -> str:
        if not what.startswith("step"):
            return what.split()[0]
        return "wide steps" if nonzero(model) > self._total / 2 else "narrow steps"

    def _cut(self, shrinker: Shrinker | None) -> None:
        if shrinker is not None:
            with self._spending.on("compaction"):
                shrinker.shrink()

    def _left(self) -> float:
        return nonzero(self._model) / self._total

    def _judged(self, model: nn.Module) -> float:
        """Return the error of `model`.

        Raises
        ------
        Tl1benchError
            It is no finite number.
        """
        model.eval()
        with torch.no_grad(), self._spending.on("evaluation"):
            error = float(self._evaluate(model))
        if not math.isfinite(error):
            raise Tl1benchError(f"evaluate returned {error}: training diverged, or lower lr.")
        return error

    def _keep(
        self, progress: checkpoint.Progress, optimizer: ProximalOptimizer, shrinker: Shrinker
    ) -> None:
        assert self._kept is not None
        progress.method = self._method.state()
        self._kept.write(progress, self._model, optimizer, shrinker)


def nonzero(model: nn.Module) -> int:
    """Count the weights of convolution and linear layers that are not zero."""
    names = neurons.weight_layers(model)
    return sum(int(torch.count_nonzero(model.get_parameter(n))) for n in names)
