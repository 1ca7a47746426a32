"""What a penalty is: value and proximal operator of one regulariser, in one frozen object."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor

from tl1bench.errors import ConfigError

Step: TypeAlias = float | Tensor
Scale: TypeAlias = float | Tensor | None
GroupScale: TypeAlias = Literal["sqrt", "one"]


@dataclass(frozen=True)
class Range:
    """The values a number may have: low ≤ value ≤ high, ends left out where said."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is finite and inside."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        left = "(" if self.open_low or math.isinf(self.low) else "["
        right = ")" if self.open_high or math.isinf(self.high) else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True, kw_only=True)
class Penalty(ABC):
    """λ-weighted regulariser P of groups of weights, with its proximal operator.

    prox_{step·P}(z) = argmin_x Σ_i (x_i − z_i)²/(2·step_i) + P(x) for each group, a global
    minimiser whatever the step; where several exist, one of them, the same for ±z.

    Parameters
    ----------
    lam
        λ ≥ 0, the weight of the whole penalty.

    Raises
    ------
    ConfigError
        A hyper-parameter is outside its range, which the message names.
    """

    lam: float = 1.0

    elementwise: ClassVar[bool] = False
    """Whether P is a sum over single weights, so that groups do not matter."""

    homogeneous: ClassVar[bool] = True
    """Whether P is proportional to λ, so that scaling λ is scaling the step."""

    diagonal: ClassVar[bool] = False
    """Whether the prox takes a tensor step, that is a diagonal metric."""

    ranges: ClassVar[Mapping[str, Range]] = {}
    """Allowed values of numeric fields besides lam, by field name."""

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Allowed values of textual fields, by field name."""

    def __post_init__(self) -> None:
        for name, allowed in {"lam": Range(0.0), **self.ranges}.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is None:
                    continue
                known = isinstance(number, int | float) and not isinstance(number, bool)
                if not known or not allowed.holds(number):
                    raise ConfigError(
                        f"{_public_name(self)}: {name} is {number!r}; give a number in {allowed}."
                    )
        for name, words in self.choices.items():
            if getattr(self, name) not in words:
                raise ConfigError(
                    f"{_public_name(self)}: {name} is {getattr(self, name)!r}; "
                    f"give one of {', '.join(words)}."
                )

    @abstractmethod
    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return λ-weighted P of each group.

        Parameters
        ----------
        w
            (group, member) weights.
        scale
            s_g of the group terms, scalar or (group,); None computes it from the member count.

        Returns
        -------
        Tensor
            (group,).
        """

    @abstractmethod
    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return argmin_x Σ_i (x_i − z_i)²/(2·step_i) + P(x) of each group.

        Parameters
        ----------
        z
            (group, member); elementwise penalties take any shape.
        step
            ≥ 0. A tensor that broadcasts to `z` is a diagonal metric: elementwise penalties and
            the group lasso family take one, the others raise.
        scale
            As in `value`: pass the original s_g once members have been removed.

        Returns
        -------
        Tensor
            Same shape and dtype as `z`.

        Raises
        ------
        ConfigError
            A tensor step was given to a penalty that has no prox in a diagonal metric.
        """

    def stages(self) -> tuple[Penalty, ...]:
        """Return simpler penalties whose proxes, applied in this order, are this prox."""
        return (self,)

    def scale_for(self, members: int) -> float:  # noqa: ARG002
        """Return s_g of a group of that many weights; 1 where no term has one."""
        return 1.0

    def at_layer(self, index: int, count: int) -> Penalty:  # noqa: ARG002
        """Return the penalty of weight layer `index` of `count`, per-layer values resolved."""
        return self

    def with_lam(self, lam: float) -> Self:
        """Return the same penalty with another λ."""
        return self if lam == self.lam else dataclasses.replace(self, lam=lam)

    def scalar_step(self, step: Step) -> float:
        """Return `step` as a number.

        Raises
        ------
        ConfigError
            `step` is a tensor of several values.
        """
        if isinstance(step, Tensor):
            if step.numel() != 1:
                raise ConfigError(
                    f"{_public_name(self)} has no proximal operator in a diagonal metric: "
                    "train it with proximal_sgd or rmda instead of proximal_adam."
                )
            return float(step)
        return step


@dataclass(frozen=True, kw_only=True)
class Elementwise(Penalty):
    """λ Σ_i ρ(w_i) with an even ρ; files below give ρ and its scalar prox."""

    elementwise: ClassVar[bool] = True
    diagonal: ClassVar[bool] = True

    @abstractmethod
    def rho(self, m: Tensor) -> Tensor:
        """Return λρ at magnitudes `m` ≥ 0, any shape."""

    @abstractmethod
    def shrink(self, m: Tensor, step: Step) -> Tensor:
        """Return the prox at magnitudes `m` ≥ 0, float64, as a magnitude ≤ m."""

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return λ Σ_i ρ(w_i) of each group; see `Penalty.value`."""
        return self.rho(w.abs()).sum(-1)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:  # noqa: ARG002
        """Return the prox at `z`; see `Penalty.prox`."""
        # float64 inside: rounding the result to z's dtype is monotone, so no weight grows.
        m = z.abs().double()
        x = self.shrink(m, step.double() if isinstance(step, Tensor) else step)
        return restore_sign(x, z)

    def prox_(self, z: Tensor, step: Step) -> Tensor:
        """Apply the prox to `z` in place and return it."""
        return z.copy_(self.prox(z, step))


@dataclass(frozen=True, kw_only=True)
class Radial(Penalty):
    """A function of each group's norm ‖w_g‖₂ and s_g; the prox shortens the group as one."""

    group_scale: GroupScale = "sqrt"

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"group_scale": ("sqrt", "one")}

    @abstractmethod
    def radius_value(self, r: Tensor, scale: Step) -> Tensor:
        """Return λ-weighted P at norms `r` ≥ 0."""

    @abstractmethod
    def shrink_radius(self, r: Tensor, step: Step, scale: Step) -> Tensor:
        """Return the prox of norms `r` ≥ 0, same dtype, each ≤ r."""

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return P of each group; see `Penalty.value`."""
        return self.radius_value(norms(w), self.scale_of(w, scale))

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the prox at `z`; see `Penalty.prox`."""
        factor = self.factor(norms(z), self.scalar_step(step), self.scale_of(z, scale))
        return (z * factor[:, None]).to(z.dtype)

    def factor(self, r: Tensor, step: float, scale: Step) -> Tensor:
        """Return what each group is multiplied by, in [0, 1]; 0 at a zero group."""
        shorter = self.shrink_radius(r, step, scale)
        # The least positive number, not r, guards the division: 0/tiny is 0.
        return (shorter / r.clamp_min(torch.finfo(r.dtype).tiny)).clamp_max_(1.0)

    def scale_for(self, members: int) -> float:
        """Return √members or 1, as `group_scale` says."""
        return math.sqrt(members) if self.group_scale == "sqrt" else 1.0

    def scale_of(self, w: Tensor, scale: Scale) -> Step:
        """Return s_g of (group, member) weights: as given, else by their number."""
        return self.scale_for(w.shape[-1]) if scale is None else scale


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
                raise ConfigError(f"{_public_name(self)}: mu is empty; give one for each layer.")
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
                    f"{_public_name(self)}: mu lists {len(self.mu)} layers but the network has "
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
class Staged(PerLayer):
    """A sum of two terms, whose prox is the composition of the terms' proxes."""

    @abstractmethod
    def terms(self) -> tuple[Penalty, ...]:
        """Return the terms in the order in which their proxes act."""

    def stages(self) -> tuple[Penalty, ...]:
        """Return the terms; see `Penalty.stages`."""
        return self.terms()

    def value(self, w: Tensor, scale: Scale = None) -> Tensor:
        """Return the sum of the terms' values; see `Penalty.value`."""
        return torch.stack([term.value(w, scale) for term in self.terms()]).sum(0)

    def prox(self, z: Tensor, step: Step, scale: Scale = None) -> Tensor:
        """Return the stages' proxes applied in turn; see `Penalty.prox`."""
        for stage in self.stages():
            z = stage.prox(z, step, scale)
        return z


def restore_sign(magnitude: Tensor, z: Tensor) -> Tensor:
    """Return `magnitude` with the signs of `z`, in its dtype; zeros are +0."""
    return torch.where(magnitude == 0, magnitude, torch.copysign(magnitude, z)).to(z.dtype)


def norms(w: Tensor) -> Tensor:
    """Return ‖w_g‖₂ of (group, member) weights in at least float32."""
    dtype = torch.float64 if w.dtype == torch.float64 else torch.float32
    found: Tensor = torch.linalg.vector_norm(w, dim=-1, dtype=dtype)
    return found


def _public_name(penalty: Any) -> str:
    return type(penalty).__module__.rsplit(".", 1)[-1]
