"""Deriving a network's units and groups: once a problem, before anything is trained."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from benchmarks._networks import dense, example

if TYPE_CHECKING:
    from torch import Tensor, nn


@functools.cache
def _network(name: str, side: str) -> tuple[nn.Module, Tensor]:
    """Return a network and inputs once each of its weights is known to be in exactly one group."""
    from tl1bench import neurons

    model, x = dense(name), example(name)
    weight = model.get_parameter
    grouped = sum(
        piece.view(weight(piece.tensor))[piece.index.reshape(-1)].numel()
        for block in neurons.Anatomy.of(model, x, side).groups
        for piece in block.slices
    )
    assert grouped == sum(weight(layer).numel() for layer in neurons.weight_layers(model))
    return model, x


class Anatomy:
    """Trace a network and find its units and the groups that a penalty sees."""

    params = (["mlp", "lenet5", "torchvision/resnet18"], ["outgoing", "incoming"])
    param_names = ("network", "side")
    version = "1"
    timer = time.process_time
    timeout = 300

    def setup(self, network: str, side: str) -> None:
        self.model, self.x = _network(network, side)

    def time_anatomy(self, network: str, side: str) -> None:  # noqa: ARG002
        from tl1bench import neurons

        neurons.Anatomy.of(self.model, self.x, side)
