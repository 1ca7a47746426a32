"""A residual network for small images: BatchNorm, identity and projected shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class _Block(nn.Module):
    """relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)) (He et al. 2016, figure 2)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = (
            nn.Identity()
            if before == after and stride == 1
            else nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def build(
    input_shape: tuple[int, ...],
    classes: int,
    widths: Sequence[int] = (8, 16),
    blocks: int = 1,
) -> nn.Module:
    """Return a convolution, residual stages, global average pooling and a Linear layer.

    With `widths=[16, 32, 64]` and `blocks=3` this is the CIFAR ResNet-20, with projections where
    the width changes.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example.
    classes
        Number of outputs.
    widths
        Channels of each stage; every stage but the first halves the resolution.
    blocks
        Residual blocks a stage.

    Returns
    -------
    Module
        The network.
    """
    first = widths[0]
    layers: list[nn.Module] = [
        nn.Conv2d(input_shape[0], first, 3, padding=1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
    ]
    before = first
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(_Block(before, width, 2 if stage > 0 and block == 0 else 1))
            before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers)
