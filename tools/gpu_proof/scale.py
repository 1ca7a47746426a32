"""How much is done: on a card, or dry on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tl1bench import models

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """Sizes of the parts.

    layer, layers
        Edge of a square weight, and how many there are, where a step is timed.
    network, shape, options
        The small network, its inputs, and how it is built.
    copied
        Numbers that are copied to find what memory can do.
    rounds
        Timings of which the median is taken.
    epochs, branch_epochs, steps
        Of the path.
    together
        How many runs at once are tried.
    batches
        Sizes at which latency is taken.
    """

    device: torch.device
    layer: int
    layers: int
    network: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    copied: int
    rounds: int
    epochs: int
    branch_epochs: int
    steps: int
    iterations: int
    together: tuple[int, ...]
    batches: tuple[int, ...]

    def build(self, seed: int = 0) -> nn.Module:
        """Return the small network on the device."""
        network = models.build(self.network, self.shape, 10, seed=seed, **self.options)
        return network.to(self.device)

    def inputs(self, count: int) -> torch.Tensor:
        """Return random inputs of the small network, on the device."""
        return torch.rand(count, *self.shape, device=self.device)

    @property
    def card(self) -> bool:
        """Whether a card does the work."""
        return self.device.type == "cuda"


REAL = Scale(
    torch.device("cuda"), layer=1024, layers=24, network="lenet5", shape=(1, 28, 28), options={},
    copied=1 << 28, rounds=25, epochs=2, branch_epochs=4, steps=10, iterations=200,
    together=(1, 4, 12, 24), batches=(1, 8, 64, 256, 1024),
)  # fmt: skip
DRY = Scale(
    torch.device("cpu"), layer=12, layers=2, network="mlp", shape=(1, 8, 8),
    options={"hidden": [12]}, copied=1 << 16, rounds=2, epochs=1, branch_epochs=1, steps=2,
    iterations=2, together=(1, 2), batches=(1, 8),
)  # fmt: skip


@dataclass(frozen=True)
class Proof:
    """What a part is given: sizes, where data and results lie, and how many seconds are left."""

    scale: Scale
    data: Path | None
    folder: Path
    seconds: float
