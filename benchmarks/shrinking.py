"""Compaction while training: what a look costs that finds nothing, and one that cuts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks._networks import dense, example

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tl1bench import ProximalSGD
    from tl1bench.neurons import Units
    from tl1bench.training.shrinking import Shrunk


@dataclass
class _Training:
    """A network in training: its optimiser, its units and a batch."""

    model: nn.Module
    optimizer: ProximalSGD
    units: tuple[Units, ...]
    x: Tensor

    def step(self) -> None:
        import torch

        self.optimizer.zero_grad()
        labels = torch.arange(len(self.x))
        torch.nn.functional.cross_entropy(self.model(self.x), labels).backward()
        self.optimizer.step()

    def shrink(self) -> Shrunk:
        from tl1bench.training.shrinking import shrink

        return shrink(self.model, self.optimizer, self.units, self.x)

    def kill_half(self) -> None:
        """Make every second removable unit unread."""
        import torch

        with torch.no_grad():
            for family in self.units:
                for piece in family.consumed if family.removable else ():
                    weight = piece.view(self.model.get_parameter(piece.tensor))
                    weight[piece.index[::2].reshape(-1)] = 0

    def outputs(self) -> Tensor:
        import torch

        with torch.no_grad():
            return self.model(self.x)


def training(network: str) -> _Training:
    """Return network `network` after one step of training."""
    from tl1bench import ProximalSGD, neurons, penalties

    model, x = dense(network), example(network)
    penalty = penalties.load("integrated_tl1", lam=1e-6)
    optimizer = ProximalSGD(model, penalty, lr=0.1, momentum=0.9, example_inputs=x)
    started = _Training(model, optimizer, neurons.units(model, x), x)
    started.step()
    return started


class Look:
    """A look that finds nothing, as most do."""

    params = (["lenet5", "torchvision/resnet18"],)
    param_names = ("network",)
    version = "1"
    timer = time.process_time
    timeout = 300

    def setup(self, network: str) -> None:
        self.training = training(network)
        assert self.training.shrink().removed == 0

    def time_look(self, network: str) -> None:  # noqa: ARG002
        self.training.shrink()

    def track_per_training_step(self, network: str) -> float:  # noqa: ARG002
        """Return seconds of a look / of a training step on 4 examples."""
        looks, steps = [], []
        for _ in range(5):
            began = time.process_time()
            self.training.shrink()
            between = time.process_time()
            self.training.step()
            looks.append(between - began)
            steps.append(time.process_time() - between)
        return min(looks) / min(steps)

    track_per_training_step.unit = "ratio"


class Cut:
    """A look that cuts out every second unit; asv sets up a network of its own for every call."""

    params = (["lenet5", "torchvision/resnet18"],)
    param_names = ("network",)
    version = "1"
    timer = time.process_time
    timeout = 300
    number = 1
    warmup_time = 0

    def setup(self, network: str) -> None:
        self.training = training(network)
        self.training.kill_half()
        self.expected = self.training.outputs()

    def time_cut(self, network: str) -> None:  # noqa: ARG002
        self.training.shrink()

    def track_weights_kept_pct(self, network: str) -> float:  # noqa: ARG002
        import torch

        model = self.training.model
        before = sum(p.numel() for p in model.parameters())
        done = self.training.shrink()
        assert done.removed > 0, done.refused
        torch.testing.assert_close(self.training.outputs(), self.expected, rtol=1e-4, atol=1e-5)
        return 100 * sum(p.numel() for p in model.parameters()) / before

    track_weights_kept_pct.unit = "%"
