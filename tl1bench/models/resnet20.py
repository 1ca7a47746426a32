"""ResNet-20: the residual network of CIFAR-10 with 0.27 million parameters."""

from __future__ import annotations

from torch import nn

from tl1bench.models import resnet


def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return three stages of three blocks with 16, 32 and 64 channels; narrower ones are `resnet`.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example.
    classes
        Number of outputs.

    Returns
    -------
    Module
        The network: 272,474 parameters for 3 × 32 × 32 and ten classes.

    Source: He, Zhang, Ren & Sun, CVPR 2016, section 4.2, with projections where the width changes.
    """
    return resnet.build(input_shape, classes, widths=(16, 32, 64), blocks=3)
