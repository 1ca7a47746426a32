"""The one training loop: a penalised phase that makes zeros, then a debias phase that keeps them.

Every method gets the same schedule, the same initial weights and the same order of examples at
the same seed, so that runs are paired.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from tl1bench import neurons
from tl1bench.errors import ConfigError, Tl1benchError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training import shrinking

if TYPE_CHECKING:
    from tl1bench.config import Budget

# Small enough to stay in a core's cache: a batch of 1,000 takes a quarter longer.
_EVALUATION_BATCH = 500
# Readings along the way; at twelve whole readings a run would spend a third of its time on them.
_GLANCE = 1000


@dataclass(frozen=True)
class Examples:
    """Inputs and labels on the training device; the network sees `scale * x`."""

    x: torch.Tensor
    y: torch.Tensor
    scale: float

    @classmethod
    def of(
        cls, x: NDArray[Any], y: NDArray[np.int64], scale: float, device: torch.device
    ) -> Examples:
        """Move arrays to `device` once; bytes stay bytes until they are used."""
        return cls(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device), scale)

    def __len__(self) -> int:
        return len(self.y)

    def first(self, count: int) -> Examples:
        """Return the first `count` examples, or all if there are fewer."""
        return Examples(self.x[:count], self.y[:count], self.scale)

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs as float32 and labels of the given rows."""
        return self.x[rows].float().mul_(self.scale), self.y[rows]


@dataclass(frozen=True)
class Schedule:
    """Learning rate and λ factor as functions of the iteration."""

    budget: Budget
    iterations_per_epoch: int

    @property
    def penalised(self) -> int:
        """Iterations of the penalised phase."""
        by_epochs = max(1, round(self.budget.epochs * self.iterations_per_epoch))
        return self.budget.iterations or by_epochs

    @property
    def debias(self) -> int:
        """Iterations of the debias phase."""
        return round(self.budget.debias_epochs * self.iterations_per_epoch)

    @property
    def total(self) -> int:
        """Iterations of both phases."""
        return self.penalised + self.debias

    def lr(self, t: int) -> float:
        """Return the learning rate of iteration `t`, counted from 0."""
        b = self.budget
        if t >= self.penalised:
            return b.debias_lr * (1 - (t - self.penalised) / self.debias)
        rise = _ramp(t, b.warmup * self.penalised)
        if b.decay:
            return b.lr * rise * b.decay.factor ** (t // b.decay.every)
        fall = (t / self.penalised - b.hold) / max(1 - b.hold, 1e-12)
        return b.lr * rise * (1 - max(0.0, fall) * (1 - b.final_lr))

    def lam_scale(self, t: int) -> float:
        """Return the factor in [0, 1] on λ: the linear ramp."""
        return _ramp(t, self.budget.ramp * self.penalised)

    def curve(self) -> set[int]:
        """Return the iterations after which the curve gets a point."""
        points = self.budget.curve_points
        marks = {math.ceil(self.total * (i + 1) / points) for i in range(points)}
        return {*marks, self.penalised}


def _ramp(t: int, length: float) -> float:
    """Return the factor of a linear rise over `length` iterations at iteration `t`."""
    return min(1.0, (t + 1) / length) if length > 0 else 1.0


@dataclass(frozen=True)
class Trained:
    """What a run leaves: full-size weights on the CPU, the curve and the closing numbers.

    `val_error_pct` is of the whole validation split, that of the curve of its first 1,000 examples.
    """

    state: dict[str, torch.Tensor]
    history: list[dict[str, float | int | str]]
    val_error_pct: float
    nonzero_weights: int
    weights_dense: int
    iterations: int
    seconds: float


def choose_device(name: str, index: int = 0) -> torch.device:
    """Return the device that `name` means; run `index` takes its turn among several GPUs.

    Raises
    ------
    ConfigError
        A GPU is asked for and there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(f"device is {name!r} but there is no GPU here: set device: auto or cpu.")
    return torch.device(f"cuda:{index % torch.cuda.device_count()}" if name == "cuda" else name)


def prepare_process(threads: int = 1) -> None:
    """Set torch up for training: threads, denormals flushed, TF32 where there is a GPU."""
    torch.set_num_threads(threads)
    # Shrinking towards zero makes denormals, which cost a CPU five to ten times as much.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    _spare_dynamo()


def _spare_dynamo() -> None:
    """Keep torch.optim from importing torch's compiler, which takes longer than a short run.

    Some of its methods wrap themselves by `torch._dynamo.disable` when first called; nothing is
    compiled here, so the plain method serves.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and "torch._dynamo" not in sys.modules:
            plain.__dict__.setdefault("__dynamo_disable", plain)


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
        Batch size, epochs, learning rates, ramp, shifts, in-training compaction.
    seed
        Fixes the order of examples, the shifts and what dropout draws.
    tick
        Called with (iterations done, iterations in all).
    clock
        Seconds; training time excludes reading the validation split.

    Raises
    ------
    Tl1benchError
        The loss became NaN or infinite.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    schedule = Schedule(budget, max(1, len(training) // budget.batch))
    curve_marks = schedule.curve()
    example, _ = training.batch(torch.arange(min(4, len(training)), device=training.y.device))
    if example.dim() == 4:
        model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, anatomy)
    shrinker = _Shrinker(model, optimizer, example, anatomy.units)
    names = neurons.weight_layers(model)
    glance = validation.first(_GLANCE)
    weights_dense = sum(model.get_parameter(n).numel() for n in names)

    history: list[dict[str, float | int | str]] = []
    loss_sum = torch.zeros((), device=training.y.device)
    since, seconds, started = 0, 0.0, clock()
    order = torch.empty(0, dtype=torch.long)
    model.train()
    for t in range(schedule.total):
        position = t % schedule.iterations_per_epoch
        if position == 0:
            order = torch.randperm(len(training), generator=generator)
        rows = order[position * budget.batch : (position + 1) * budget.batch]
        x, y = training.batch(rows.to(training.y.device, non_blocking=True))
        if budget.shift:
            x = shifted(x, budget.shift, generator)
        if t == schedule.penalised:
            optimizer.freeze_zeros()
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr(t)
        optimizer.lam_scale = schedule.lam_scale(t)
        loss_sum += _step(model, optimizer, x, y)
        since += 1
        if budget.shrink_every and (t + 1) % budget.shrink_every == 0:
            shrinker.shrink()
        if t + 1 in curve_marks:
            seconds += clock() - started
            mean_loss = float(loss_sum) / since
            if not math.isfinite(mean_loss):
                raise Tl1benchError(
                    f"The loss became {mean_loss} by iteration {t + 1}: lower the learning rate "
                    "(budget.lr or budget.debias_lr) of this problem."
                )
            history.append(
                {
                    "iteration": t + 1,
                    "epoch": (t + 1) / schedule.iterations_per_epoch,
                    "phase": "train" if t < schedule.penalised else "debias",
                    "train_loss": mean_loss,
                    "penalty_value": float(optimizer.penalty_value()),
                    "val_error_pct": error_pct(model, glance),
                    "nonzero_weights": _nonzero(model, names),
                    "seconds": seconds,
                }
            )
            loss_sum.zero_()
            since = 0
            tick(t + 1, schedule.total)
            started = clock()
    # Units that feed nothing keep weights that no longer matter: they go, for every method alike.
    shrinker.shrink()
    state = shrinker.full_state()
    return Trained(
        state={name: value.cpu() for name, value in state.items()},
        history=history,
        val_error_pct=error_pct(model, validation),
        nonzero_weights=_nonzero(model, names),
        weights_dense=weights_dense,
        iterations=schedule.total,
        seconds=seconds,
    )


class _Shrinker:
    """The network in training and what of it has been cut out so far."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        example: torch.Tensor,
        units: tuple[neurons.Units, ...],
    ) -> None:
        self._model, self._optimizer, self._example = model, optimizer, example
        self._units = units
        self._done: shrinking.Shrunk | None = None

    def shrink(self) -> None:
        """Cut out the units that feed nothing; a network with literal sizes stays whole."""
        if self._done and self._done.refused:
            return
        done = shrinking.shrink(
            self._model, self._optimizer, self._units, self._example, self._done
        )
        self._done, self._units = done, done.units
        if done.removed:
            parameters = dict(self._model.named_parameters())
            self._optimizer.regroup(done.groups(self._optimizer.groups, parameters))

    def full_state(self) -> dict[str, torch.Tensor]:
        """Return the weights in their original shapes, cut units being zeros."""
        state = {name: value.detach() for name, value in self._model.state_dict().items()}
        if self._done:
            state = self._done.expand(state)
        return {
            name: value.clone(memory_format=torch.contiguous_format)
            for name, value in state.items()
        }


def _step(
    model: nn.Module, optimizer: ProximalOptimizer, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    # A function of its own: the graph must be gone before the network may shrink.
    optimizer.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


def shifted(x: torch.Tensor, reach: int, generator: torch.Generator) -> torch.Tensor:
    """Move each image by its own random (dy, dx) in [−reach, reach]², filling with zeros.

    Parameters
    ----------
    x
        (n, channels, height, width).
    reach
        Largest shift in pixels.
    generator
        CPU generator of the shifts.
    """
    height, width = x.shape[2:]
    dy, dx = torch.randint(0, 2 * reach + 1, (2, len(x)), generator=generator).to(x.device)
    windows = functional.pad(x, (reach,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(x), device=x.device), :, dy, dx].contiguous()


@torch.no_grad()
def predictions(model: nn.Module, examples: Examples) -> torch.Tensor:
    """Return the predicted class of every example, in evaluation mode."""
    was_training = model.training
    model.eval()
    rows = torch.arange(len(examples), device=examples.y.device)
    classes = [model(examples.batch(r)[0]).argmax(1) for r in rows.split(_EVALUATION_BATCH)]
    model.train(was_training)
    return torch.cat(classes)


def error_pct(model: nn.Module, examples: Examples) -> float:
    """Return the share of wrong predictions in percent."""
    wrong = (predictions(model, examples) != examples.y).sum()
    return 100.0 * float(wrong) / len(examples)


def _nonzero(model: nn.Module, names: tuple[str, ...]) -> int:
    return sum(int(torch.count_nonzero(model.get_parameter(n))) for n in names)
