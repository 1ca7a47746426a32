"""The network of the as-coded MNIST experiment: padded convolutions, a wide layer, dropout."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

_SIGMA = 0.1


def build(input_shape: tuple[int, ...], classes: int, dropout: float = 0.5) -> nn.Module:
    """Return (conv 5×5 → ReLU → pool)×2 → Linear 1024 → ReLU → dropout → Linear.

    The convolutions have 32 and 64 filters and keep the image's size. Weights start from a normal
    distribution with σ = 0.1, cut off at 2σ, biases at 0.1. The scores are no probabilities: an
    older version of the code put a softmax here and into the loss again, which is not repeated.

    Parameters
    ----------
    input_shape
        (channels, height, width) of one example; 28 × 28 gives 3136 flattened units.
    classes
        Number of outputs.
    dropout
        Share of the 1024 hidden units that are left out in a training step.

    Returns
    -------
    Module
        The network.

    Source: a public TensorFlow script that implements Ma et al., Neural Networks 119 (2019).
    """
    channels, height, width = input_shape
    model = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64 * (height // 4) * (width // 4), 1024),
            relu3=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            fc2=nn.Linear(1024, classes),
        )
    )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.constant_(parameter, 0.1)
        else:
            nn.init.trunc_normal_(parameter, std=_SIGMA, a=-2 * _SIGMA, b=2 * _SIGMA)
    return model
