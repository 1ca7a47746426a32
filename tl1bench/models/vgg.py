"""VGG with BatchNorm for small images; the standard widths are VGG-16."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def build(
    input_shape: tuple[int, ...], classes: int, stages: Sequence[Sequence[int]] = VGG16
) -> nn.Module:
    """Return stages of (conv 3×3 → BatchNorm → ReLU)*, 2×2 pooling between them, mean → Linear.

    Returns
    -------
    Module
        The network.

    Source: Simonyan & Zisserman, ICLR 2015, configuration D, with the one Linear layer that is
    usual on CIFAR. The mean over positions in place of the last pooling lets other sizes than
    32 × 32 in; every stage but the last halves the resolution.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example, at least 16 × 16 with five stages.
    classes
        Number of outputs.
    stages
        Filters of each convolution, by stage.
    """
    layers: list[nn.Module] = []
    before = input_shape[0]
    for number, widths in enumerate(stages):
        if number > 0:
            layers.append(nn.MaxPool2d(2))
        for inputs, outputs in pairwise([before, *widths]):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        before = widths[-1]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers)
