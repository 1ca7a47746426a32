"""Random pruning: the control that any method must beat."""

from __future__ import annotations

import torch

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.methods._shares import Shares
from tl1bench.training.dead import dead


class Random(Shares):
    """Keep a random share s_k = s_0 / ρ^k: of each layer's weights, or of each layer's units.

    Parameters
    ----------
    unit
        "weight" or "neuron"; a neuron that goes loses all that reads it.
    first, ratio, last
        s_0 in (0, 1), ρ > 1, the path's growth when None, and the least share, if any.
    seed
        Of the order in which weights or units go, fixed from the start.

    Raises
    ------
    ConfigError
        A value is out of range.
    """

    def __init__(
        self,
        unit: str = "weight",
        first: float = 0.5,
        ratio: float | None = None,
        seed: int = 0,
        last: float | None = None,
    ) -> None:
        if unit not in ("weight", "neuron"):
            raise ConfigError(f"unit is {unit!r}; give weight or neuron.")
        super().__init__(first, ratio, last)
        self.unit, self.seed = unit, seed

    def __repr__(self) -> str:
        return f"Random({self.unit}, {self.first}, {self.ratio}, {self.seed}, {self.last})"

    @torch.no_grad()
    def cut(self, share: float, before: float) -> None:
        """Zero what goes next."""
        (self._thin_weights if self.unit == "weight" else self._thin_neurons)(share / before)

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
        unread = dead(found, {**tensors, **dict(model.named_buffers())})
        for place, (family, gone) in enumerate(zip(found, unread, strict=True)):
            if not family.removable:
                continue
            alive = (~gone).nonzero().reshape(-1)
            order = alive[torch.randperm(len(alive), generator=self._generator(place))]
            leaving = order[max(1, round(stay * len(alive))) :]
            for piece in family.consumed:
                weight = tensors.get(piece.tensor)
                if weight is not None:
                    index = piece.index[leaving].reshape(-1).to(weight.device)
                    weight.index_fill_(piece.dim, index, 0.0)
