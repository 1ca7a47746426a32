"""Small networks and a deterministic stream of gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_model() -> Callable[[], nn.Sequential]:
    def make() -> nn.Sequential:
        generator = torch.Generator().manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(6 * 9, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))
        return model

    return make


@pytest.fixture
def example() -> torch.Tensor:
    return torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def train(example: torch.Tensor) -> Callable[..., None]:
    """Take steps with the loss on a stream of batches that depends on the step number alone."""

    def run(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for t in steps:
            generator = torch.Generator().manual_seed(t)
            x = torch.randn(16, *example.shape[1:], generator=generator)
            y = torch.randint(0, 3, (16,), generator=generator)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return run
