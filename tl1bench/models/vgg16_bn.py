"""VGG-16 with BatchNorm as it is used on CIFAR-10: one Linear layer, 14.7 million parameters."""

from __future__ import annotations

from torch import nn

from tl1bench.models import vgg


def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the thirteen convolutions of VGG-16, and a Linear layer; narrower ones are `vgg`.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example, at least 16 × 16.
    classes
        Number of outputs.

    Returns
    -------
    Module
        The network: 14,724,042 parameters for 3 × 32 × 32 and ten classes. Convolutions have no
        biases, of which BatchNorm would leave nothing.

    Source: Simonyan & Zisserman, ICLR 2015, configuration D.
    """
    return vgg.build(input_shape, classes, stages=vgg.VGG16)
