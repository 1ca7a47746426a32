"""Random pruning: the control that any method must beat."""

from __future__ import annotations

import torch

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start, plain_optimizer


class Random(Method):
    """Keep a random share s_k = s_0 / γ^k: of each layer's weights, or of each layer's units.

    Parameters
    ----------
    unit
        "weight" or "neuron"; a neuron that goes loses all that reads it.
    first
        s_0, in (0, 1).
    seed
        Of the order in which weights or units go, fixed from the start.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    def __init__(self, unit: str = "weight", first: float = 0.5, seed: int = 0) -> None:
        if unit not in ("weight", "neuron"):
            raise ConfigError(f"unit is {unit!r}; give weight or neuron.")
        if not 0 < first < 1:
            raise ConfigError(f"first is {first!r}; give a share between 0 and 1.")
        self.unit, self.first, self.seed, self._share = unit, first, seed, 0.0

    def __repr__(self) -> str:
        return f"Random({self.unit}, {self.first}, {self.seed})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return momentum SGD."""
        self._start, self._optimizer = start, plain_optimizer(start.model, start.lr)
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Zero what goes next and hold the zeros."""
        before = self._share or 1.0
        self._share = self._share / self._start.growth if self._share else self.first
        stay = self._share / before
        with torch.no_grad():
            if self.unit == "weight":
                self._thin_weights(stay)
            else:
                self._thin_neurons(stay)
        self._optimizer.freeze_zeros()
        return self._share

    def state(self) -> dict[str, float]:
        """Return the share kept."""
        return {"share": self._share}

    def resume(self, state: dict[str, float]) -> None:
        """Take over the share kept, and hold the zeros."""
        self._share = state["share"]
        if self._share:
            self._optimizer.freeze_zeros()

    def _generator(self, place: int) -> torch.Generator:
        # One order a step and layer: a resumed path draws what an uninterrupted one does.
        step = round(1e6 * self._share)
        return torch.Generator().manual_seed((self.seed * 1_000 + place) * 1_000_003 + step)

    def _thin_weights(self, stay: float) -> None:
        model = self._start.model
        for place, name in enumerate(neurons.weight_layers(model)):
            weight = model.get_parameter(name)
            alive = (weight != 0).nonzero()
            order = torch.randperm(len(alive), generator=self._generator(place))
            gone = alive[order[max(1, round(stay * len(alive))) :]]
            weight[tuple(gone.t())] = 0

    def _thin_neurons(self, stay: float) -> None:
        model = self._start.model
        found = neurons.units(model, self._start.example_inputs)
        tensors = dict(model.named_parameters())
        for place, family in enumerate(found):
            if not family.removable:
                continue
            order = torch.randperm(family.count, generator=self._generator(place))
            gone = order[max(1, round(stay * family.count)) :]
            for piece in family.consumed:
                if piece.tensor in tensors:
                    index = piece.index[gone].reshape(-1)
                    tensors[piece.tensor].index_fill_(piece.dim, index, 0.0)
