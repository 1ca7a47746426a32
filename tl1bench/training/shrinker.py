"""A network in training, and what of it has been cut out so far."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training import dead, shrinking
from tl1bench.training.slicing import Axis


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
    align
        Families keep multiples of so many units, or all that they had.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: ProximalOptimizer,
        example: Tensor,
        units: tuple[neurons.Units, ...],
        align: int = 1,
    ) -> None:
        self._model, self._optimizer, self._example = model, optimizer, example
        self.units, self._align = units, align
        self._done: shrinking.Shrunk | None = None

    @property
    def refused(self) -> str:
        """Why the network stays whole, or nothing."""
        return self._done.refused if self._done else ""

    @property
    def kept(self) -> Mapping[Axis, Tensor]:
        """The original positions that are left of every sliced axis (tensor, dim)."""
        return self._done.kept if self._done else {}

    def shrink(self) -> None:
        """Cut out the units that feed nothing; a network with literal sizes stays whole."""
        self._shrink(self._align)

    def finish(self) -> None:
        """Cut out those that stayed for the sake of a multiple, too."""
        self._shrink(1)

    def resume(self, kept: Mapping[Axis, Tensor]) -> None:
        """Cut a network of full size down to what an earlier one had `kept`."""
        gone = dead.absent(self.units, kept)
        self._take(
            shrinking.cut(self._model, self._optimizer, self.units, gone, self._example, self._done)
        )

    def _shrink(self, align: int) -> None:
        if not self.refused:
            self._take(
                shrinking.shrink(
                    self._model, self._optimizer, self.units, self._example, self._done, align
                )
            )

    def _take(self, done: shrinking.Shrunk) -> None:
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
