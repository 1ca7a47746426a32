"""What a method of sparsification is: it makes a network sparser step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from tl1bench import neurons, penalties
from tl1bench.optimizers import ProximalOptimizer, ProximalSGD


@dataclass(frozen=True)
class Start:
    """A dense network that has begun to learn, and what a method may know of it.

    `anatomy` are its units and groups, `lr` the constant rate of the path, `iterations` the
    optimiser's steps in one epoch, `epochs` those of one step of the path, `growth` > 1 how much
    sparser each step is to make it.
    """

    model: nn.Module
    anatomy: neurons.Anatomy
    example_inputs: tuple[Tensor, ...]
    lr: float
    iterations: int
    growth: float
    epochs: int = 1


class Method(ABC):
    """A way to make a network sparser step by step: dense in, ever sparser ones out.

    The path trains between the steps and cuts out what feeds nothing, so a method finds the same
    parameter objects smaller at its next step. It holds plain numbers only between steps, which
    `state` returns, so that a path can be killed and resumed.
    """

    anew: ClassVar[bool] = False
    """Whether branches keep the widths alone, and train fresh weights as long as the path did."""

    @abstractmethod
    def begin(self, start: Start) -> ProximalOptimizer:
        """Return the optimiser that trains the network along the path."""

    @abstractmethod
    def advance(self, left: float) -> float:
        """Begin the next step; return its level.

        `left` is the share of the dense network's weights that are not zero.
        """

    def finished(self) -> bool:
        """Return whether the method was told to go no further than this step."""
        return False

    def during(self, share: float) -> None:
        """Take notice, before each of the optimiser's steps, of the share of the step gone."""
        del share  # most methods act at the beginning of a step alone

    def training(self) -> AbstractContextManager[None]:
        """Return what surrounds the epochs of one step, and is gone before its branch."""
        return nullcontext()

    @abstractmethod
    def state(self) -> dict[str, float]:
        """Return what `resume` needs."""

    @abstractmethod
    def resume(self, state: dict[str, float]) -> None:
        """Take over the `state` of a path that was interrupted, after `begin`."""


def plain_optimizer(model: nn.Module, lr: float) -> ProximalSGD:
    """Return momentum SGD without a penalty, which can hold zeros."""
    return ProximalSGD(model, penalties.load("none"), lr=lr)
