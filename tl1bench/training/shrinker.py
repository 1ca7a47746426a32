"""A network in training, and what of it has been cut out so far."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training import shrinking


class Shrinker:
    """Cuts units that feed nothing out of a network and its optimiser, again and again.

    Parameters
    ----------
    model
        The network.
    optimizer
        What trains it.
    example
        Inputs on which cutting must change nothing.
    units
        Its units.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        example: Tensor,
        units: tuple[neurons.Units, ...],
    ) -> None:
        self._model, self._optimizer, self._example = model, optimizer, example
        self.units = units
        self._done: shrinking.Shrunk | None = None

    @property
    def refused(self) -> str:
        """Why the network stays whole, or nothing."""
        return self._done.refused if self._done else ""

    def shrink(self) -> None:
        """Cut out the units that feed nothing; a network with literal sizes stays whole."""
        if self.refused:
            return
        done = shrinking.shrink(self._model, self._optimizer, self.units, self._example, self._done)
        self._done, self.units = done, done.units
        if done.removed:
            parameters = dict(self._model.named_parameters())
            self._optimizer.regroup(done.groups(self._optimizer.groups, parameters))

    def full(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors of the present shapes in the original ones, cut units being zeros."""
        if self._done is None:
            return dict(values)
        present = {name: tensor for name, tensor in self._model.state_dict().items()}
        whole = self._done.expand({**present, **values})
        return {name: whole[name] for name in values}

    def full_state(self) -> dict[str, Tensor]:
        """Return the weights in their original shapes, cut units being zeros."""
        state = {name: value.detach() for name, value in self._model.state_dict().items()}
        return {
            name: value.clone(memory_format=torch.contiguous_format)
            for name, value in self.full(state).items()
        }
