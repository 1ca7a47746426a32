"""Penalties that weigh two terms anew in each layer, and sums whose proxes act in turn."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.penalties._base.penalty import GroupScale, Penalty, Scale, Step
from tl1bench.penalties._base.ranges import Range


@dataclass(frozen=True, kw_only=True)
class PerLayer(Penalty):
    """A penalty that weighs two terms by a μ_l of its own in each layer.

    Parameters
    ----------
    mu
        One μ for all layers, or one for each; None means linear from `mu_first` to `mu_last`.
        Before `at_layer`, the first layer's.
    mu_first, mu_last
        μ of the first and the last weight layer, when `mu` is None.
    group_scale
        s_g: "sqrt" is √|g|, "one" is 1.
    """

    mu: float | Sequence[float] | None = None
    mu_first: float = 0.8
    mu_last: float = 0.2
    group_scale: GroupScale = "sqrt"

    ranges: ClassVar[Mapping[str, Range]] = {
        name: Range(0.0, 1.0) for name in ("mu", "mu_first", "mu_last")
    }
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"group_scale": ("sqrt", "one")}

    def __post_init__(self) -> None:
        if isinstance(self.mu, list | tuple):  # params.yaml gives lists
            object.__setattr__(self, "mu", tuple(self.mu))
            if not self.mu:
                raise ConfigError(f"{self.public_name}: mu is empty; give one for each layer.")
        super().__post_init__()

    @property
    def mixing(self) -> float:
        """μ of this layer (of the first one where layers are not yet told apart)."""
        if self.mu is None:
            return self.mu_first
        return self.mu if isinstance(self.mu, int | float) else self.mu[0]

    def at_layer(self, index: int, count: int) -> Penalty:
        """Return the penalty of layer `index` of `count` with its one μ.

        Raises
        ------
        ConfigError
            `mu` lists another number of layers.
        """
        if isinstance(self.mu, tuple):  # __post_init__ left no other sequence
            if len(self.mu) != count:
                raise ConfigError(
                    f"{self.public_name}: mu lists {len(self.mu)} layers but the network has "
                    f"{count} weight layers; list {count} or give mu_first and mu_last."
                )
            return dataclasses.replace(self, mu=self.mu[index])
        if self.mu is not None:
            return self
        along = index / (count - 1) if count > 1 else 0.0
        return dataclasses.replace(self, mu=(1 - along) * self.mu_first + along * self.mu_last)

    def scale_for(self, members: int) -> float:
        """Return √members or 1, as `group_scale` says."""
        return math.sqrt(members) if self.group_scale == "sqrt" else 1.0

    def scale_of(self, w: Tensor, scale: Scale) -> Step:
        """Return s_g of (group, member) weights: as given, else by their number."""
        return self.scale_for(w.shape[-1]) if scale is None else scale


@dataclass(frozen=True, kw_only=True)
class Composed(PerLayer):
    """A sum of two terms, whose prox is the composition of the terms' proxes."""

    @abstractmethod
    def terms(self) -> tuple[Penalty, ...]:
        """Return the terms in the order in which their proxes act."""

    def composition(self) -> tuple[Penalty, ...]:
        """Return the terms; see `Penalty.composition`."""
        return self.terms()

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return the sum of the terms' values; see `Penalty.value`."""
        return torch.stack([term.value(w, scale) for term in self.terms()]).sum(0)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the terms' proxes applied in turn; see `Penalty.prox`."""
        for part in self.composition():
            z = part.prox(z, step, scale)
        return z
