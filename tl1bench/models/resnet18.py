"""ResNet-18 as it is used on CIFAR-10: its first convolution is 3 × 3 and keeps the resolution."""

from __future__ import annotations

from torch import nn

from tl1bench.models import resnet


def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return four stages of two blocks with 64 to 512 channels; narrower ones are `resnet`.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example.
    classes
        Number of outputs.

    Returns
    -------
    Module
        The network: 11,173,962 parameters for 3 × 32 × 32 and ten classes.

    Source: He, Zhang, Ren & Sun, CVPR 2016, table 1, with a first layer for small images.
    """
    return resnet.build(input_shape, classes, widths=(64, 128, 256, 512), blocks=2)
