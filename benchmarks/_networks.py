"""Networks that compaction makes smaller: half of their units are dead."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHAPES = {
    "mlp": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "torchvision/resnet18": (3, 64, 64),
    "torchvision/mobilenet_v3_large": (3, 64, 64),
}


def one_thread() -> None:
    """Keep torch on one thread, and denormals, which cost five to ten times as much, at zero."""
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def example(name: str, batch: int = 4) -> Tensor:
    """Return inputs for network `name`, always the same."""
    import torch

    return torch.rand(batch, *_SHAPES[name], generator=torch.Generator().manual_seed(0))


def dense(name: str) -> nn.Module:
    """Return network `name` with initial weights, in eval mode."""
    from tl1bench import models

    one_thread()
    return models.build(name, _SHAPES[name], 10, seed=0).eval()


@functools.cache
def half_dead(name: str) -> nn.Module:
    """Return network `name` with every second row and filter of its weights zero."""
    import torch

    model = dense(name)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter[::2] = 0
    return model


@functools.cache
def chain(depth: int) -> tuple[nn.Module, Tensor]:
    """Return `depth` convolutions of 8 channels, half of them dead, and inputs."""
    import torch
    from torch import nn

    one_thread()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for before in [1] + [8] * (depth - 1):
            layers += [nn.Conv2d(before, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    side = 2 * depth + 2
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter[::2] = 0
    return model.eval(), torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def assert_same(small: nn.Module, model: nn.Module, x: Tensor) -> None:
    """Fail unless both compute the same on `x` up to float32 rounding."""
    import torch

    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), rtol=1e-4, atol=1e-5)
