"""Examples on the training device with what is to be learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tl1bench import tasks
from tl1bench.training.augmentation import Augmentation


@dataclass(frozen=True)
class Examples:
    """Inputs x and what `task` wants of them, y; the network sees `scale * x`."""

    x: torch.Tensor
    y: torch.Tensor
    scale: float
    task: tasks.Task = field(default_factory=tasks.load)

    @classmethod
    def of(
        cls,
        x: NDArray[Any],
        y: NDArray[np.int64] | NDArray[np.float32],
        scale: float,
        device: torch.device,
        task: tasks.Task | None = None,
    ) -> Examples:
        """Move arrays to `device` once; bytes stay bytes until they are used.

        Parameters
        ----------
        x
            (example, …) bytes or floats.
        y
            (example,) numbers of classes, or values.
        scale
            What inputs are multiplied by.
        device
            Where they go.
        task
            What is to be learned; classes when not given.

        Returns
        -------
        examples : Examples
            On the device.
        """
        return cls(
            torch.from_numpy(x).to(device),
            torch.from_numpy(y).to(device),
            scale,
            task or tasks.load(),
        )

    def __len__(self) -> int:
        return len(self.y)

    def first(self, count: int) -> Examples:
        """Return the first `count` examples, or all if there are fewer."""
        return Examples(self.x[:count], self.y[:count], self.scale, self.task)

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs as float32 and y of the given rows."""
        return self.x[rows].float().mul_(self.scale), self.y[rows]

    def changed(
        self, rows: torch.Tensor, augmentation: Augmentation, drawn: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch of images as an augmentation has drawn them.

        Parameters
        ----------
        rows
            (n,) which examples.
        augmentation, drawn
            What happens to them, and how much of it: (3, n) of its `draw`.

        Returns
        -------
        x, y : Tensor
            Inputs as float32, and what is to be learned.
        """
        return augmentation.pick(self.x, rows, drawn, self.scale), self.y[rows]
