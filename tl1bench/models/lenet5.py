"""LeNet-5 in the Caffe variant that the pruning literature uses: 20-50-800-500."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def build(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return conv 5×5×20 → pool → conv 5×5×50 → pool → Linear 500 → ReLU → Linear.

    As in Caffe's example there is no activation behind the convolutions but the pooling.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example; 28 × 28 gives the 800 flattened units.
    classes
        Number of outputs.
    """
    channels, height, width = input_shape

    def side(n: int) -> int:
        return ((n - 4) // 2 - 4) // 2

    flat = 50 * side(height) * side(width)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(flat, 500),
            relu=nn.ReLU(),
            fc2=nn.Linear(500, classes),
        )
    )
