"""Fully connected ReLU network; LeNet-300-100 is `hidden: [300, 100]` on MNIST."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def build(
    input_shape: tuple[int, ...], classes: int, hidden: Sequence[int] = (300, 100)
) -> nn.Module:
    """Return flatten → (Linear → ReLU)* → Linear.

    Parameters
    ----------
    input_shape
        Shape of one example; it is flattened.
    classes
        Number of outputs.
    hidden
        Widths of the hidden layers (LeCun et al. 1998, LeNet-300-100).

    Returns
    -------
    Module
        The network.
    """
    widths = [math.prod(input_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))
