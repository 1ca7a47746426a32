"""A regularisation path: dense start, ever sparser steps, a branch with frozen zeros at each.

One run gives the whole front. Each step goes on from the last one's weights, units that feed
nothing are cut out of the network and the optimiser in place, so that later steps cost less, and a
branch (a copy whose zeros are held, without penalty, its rate falling to 0) turns each step into a
finished network. A path that was killed goes on bit for bit.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.compaction import compact
from tl1bench.errors import CompactionError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training import anew, checkpoint, dense
from tl1bench.training.around import at_each, own_random
from tl1bench.training.method import Method, Start, plain_optimizer
from tl1bench.training.plan import Plan
from tl1bench.training.points import Point, Points
from tl1bench.training.runner import Evaluate, Runner, Tick, TrainEpoch
from tl1bench.training.shrinker import Shrinker


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
    anatomy
        Its units and groups.
    seed
        Of the generators that are seeded before each epoch.
    start
        The dense start that `model` has behind it; None to train one.
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
        anatomy: neurons.Anatomy,
        seed: int = 0,
        start: dense.Dense | None = None,
        folder: Path | None = None,
        tick: Tick = lambda done, total, what: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._model, self._method, self._plan = model, method, plan
        self._inputs, self._start = example_inputs, start
        self._runner = Runner(train_epoch, evaluate, plan, seed=seed, tick=tick, clock=clock)
        self._spending = self._runner.spending
        self._anatomy = anatomy
        names = neurons.weight_layers(model)
        self._total = sum(model.get_parameter(n).numel() for n in names)
        self._kept = None if folder is None else checkpoint.Checkpoint(folder, self._described())

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
        progress = found or self._started()
        optimizer = self._method.begin(self._begin(progress))
        shrinker = Shrinker(
            self._model, optimizer, self._inputs[0], self._anatomy.units, self._plan.align
        )
        if found is not None:
            checkpoint.resume(found, self._model, optimizer)
            self._method.resume(found.method)
            shrinker.resume(found.kept)
        elif self._kept:
            self._keep(progress, optimizer, shrinker)
        while not progress.ended:
            self._step(progress, optimizer, shrinker)
            if self._kept:
                self._keep(progress, optimizer, shrinker)
        return Points(
            progress.points,
            dense_error=progress.dense_error,
            ended=progress.ended,
            seconds=dict(self._spending.seconds),
            course=progress.course,
        )

    def _started(self) -> checkpoint.Progress:
        begun = self._start or dense.train(self._runner, self._model, self._plan)[0]
        return checkpoint.Progress(begun.iterations, begun.error, begun.seconds)

    def _begin(self, progress: checkpoint.Progress) -> Start:
        return Start(
            model=self._model,
            anatomy=self._anatomy,
            example_inputs=self._inputs,
            lr=self._plan.lr,
            iterations=progress.iterations,
            growth=self._plan.growth,
            epochs=self._plan.epochs,
        )

    def _described(self) -> dict[str, Any]:
        """Say what a checkpoint must have been made with to be gone on with."""
        shapes = {name: list(p.shape) for name, p in self._model.named_parameters()}
        return {
            "plan": dataclasses.asdict(self._plan),
            "seed": self._runner.seed,
            "method": repr(self._method),
            "parameters": shapes,
        }

    def _step(
        self, progress: checkpoint.Progress, optimizer: ProximalOptimizer, shrinker: Shrinker
    ) -> None:
        """Take one step and its branch, or say why the path has ended."""
        plan, step = self._plan, progress.step + 1
        progress.step, before, loss = step, self._spent(), math.nan
        try:
            level = self._method.advance(self._left())
            length = plan.epochs * progress.iterations
            rising = at_each(optimizer, length, lambda share: self._method.during(share))
            with self._method.training(), rising:
                for number in range(plan.epochs):
                    loss = self._runner.epoch(
                        self._model, optimizer,
                        what=f"step {step}", number=number, kind=self._kind(), shrinker=shrinker,
                    )  # fmt: skip
            progress.seconds += self._spent() - before
            progress.course.append(self._row(progress, level, loss))
            if self._left() <= plan.branch_below:
                progress.points.append(self._branch(progress, level, shrinker))
        except Exception as error:  # whatever a user's own loop raises ends this path alone
            reason = str(error).strip().splitlines() or [type(error).__name__]
            progress.ended = f"step {step} failed: {reason[0]}"
            return
        if progress.points and progress.points[-1].error > progress.dense_error + plan.margin:
            progress.ended = f"step {step} exceeded the dense error by more than {plan.margin:g}"
        elif step == plan.steps or self._method.finished():
            progress.ended = f"all {step} steps were taken"

    def _branch(self, progress: checkpoint.Progress, level: float, shrinker: Shrinker) -> Point:
        plan, before = self._plan, self._spent()
        model = copy.deepcopy(self._model)
        optimizer = plain_optimizer(model, plan.lr)
        cutting = Shrinker(model, optimizer, self._inputs[0], shrinker.units, plan.align)
        if self._method.anew:
            cutting.finish()  # fresh weights would bring what is dead to life
            if shrinker.refused:
                raise CompactionError(f"no smaller network can be drawn: {shrinker.refused}.")
            anew.train(self._runner, model, optimizer, step=progress.step, plan=plan)
        else:
            optimizer.freeze_zeros()
        loss = self._runner.anneal(
            model, optimizer, what=f"branch {progress.step}", iterations=progress.iterations,
            epochs=plan.branch_epochs, shrinker=cutting,
        )  # fmt: skip
        cutting.finish()
        seconds = progress.seconds + self._spent() - before
        error = self._runner.judged(model)
        with self._spending.on("proof"):
            small = compact(model, self._inputs)
        report = small.report
        return Point(
            step=progress.step,
            level=level,
            error=error,
            nonzero_weights=nonzero(model),
            weights=report.weights_after,
            macs=report.macs_after,
            architecture=report.architecture,
            network=small.model,
            state=shrinker.full(cutting.full_state()),
            loss=loss,
            seconds=seconds,
        )

    def _row(self, progress: checkpoint.Progress, level: float, loss: float) -> dict[str, float]:
        plan = self._plan
        return {
            "step": progress.step,
            "epoch": plan.dense_epochs + progress.step * plan.epochs,
            "level": level,
            # JSON has no NaN.
            **({} if math.isnan(loss) else {"train_loss": loss}),
            "nonzero_weights": nonzero(self._model),
            "seconds": progress.seconds,
        }

    def _kind(self) -> str:
        return "wide steps" if nonzero(self._model) > self._total / 2 else "narrow steps"

    def _left(self) -> float:
        return nonzero(self._model) / self._total

    def _spent(self) -> float:
        """Seconds of training and cutting so far; judging and proving do not count."""
        return sum(v for k, v in self._spending.seconds.items() if k not in ("evaluation", "proof"))

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
