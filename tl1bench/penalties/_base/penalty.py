"""What a penalty is: value and proximal operator of one regulariser, in one frozen object."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.kernels.card import Point
from tl1bench.kernels.momentum import Queue
from tl1bench.kernels.tl1 import Packed
from tl1bench.penalties._base.ranges import Range

Step: TypeAlias = float | Tensor
Scale: TypeAlias = float | Tensor | None
GroupScale: TypeAlias = Literal["sqrt", "one"]
# What says what the prox is, and what does the same in place or faster.
_FORMULA = frozenset({"prox", "shrink", "shrink_radius", "factor"})
_KERNELS = frozenset({"prox_", "prox_rows_", "packed", "fuses", "point"})


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

    fuses: ClassVar[str] = ""
    """What a pair of penalties has in common whose kernels can act in one pass; empty is none."""

    def __init_subclass__(cls) -> None:
        # A kernel belongs to the formula beside which it stands: who gives another one loses it.
        super().__init_subclass__()
        if not _FORMULA.isdisjoint(vars(cls)):
            for name in _KERNELS - vars(cls).keys():
                setattr(cls, name, vars(Penalty)[name])

    def __post_init__(self) -> None:
        for name, allowed in {"lam": Range(0.0), **self.ranges}.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is None:
                    continue
                known = isinstance(number, int | float) and not isinstance(number, bool)
                if not known or not allowed.holds(number):
                    raise ConfigError(
                        f"{self.public_name}: {name} is {number!r}; give a number in {allowed}."
                    )
        for name, words in self.choices.items():
            if getattr(self, name) not in words:
                raise ConfigError(
                    f"{self.public_name}: {name} is {getattr(self, name)!r}; "
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

    def prox_(self, z: Tensor, step: Step, factor: float = 1.0) -> Tensor:
        """Apply the prox of single weights with the step times `factor` in place.

        Parameters
        ----------
        z
            Weights, any shape.
        step
            ≥ 0; a number, or a tensor of the same shape.
        factor
            Number ≥ 0 on the step.

        Returns
        -------
        Tensor
            `z` itself.
        """
        return z.copy_(self.prox(z, step * factor))

    def prox_rows_(
        self,
        rows: Sequence[Tensor],  # noqa: ARG002
        groups: int,  # noqa: ARG002
        steps: float | Sequence[Tensor],  # noqa: ARG002
        factor: float,  # noqa: ARG002
        scale: float,  # noqa: ARG002
        then: Sequence[Packed | None] | None = None,  # noqa: ARG002
        meanwhile: Queue | None = None,  # noqa: ARG002
    ) -> bool:
        """Apply the prox of groups in place where a kernel can.

        Parameters
        ----------
        rows
            The parts of the groups: matrices that share memory with the weights, in which group g
            is columns g·n/groups to (g+1)·n/groups of n.
        groups
            Number of groups.
        steps
            One step, or matrices like `rows` with a step for each weight.
        factor
            Number ≥ 0 on the steps.
        scale
            s_g.
        then
            What the elementwise partners of a fused pair gave as `packed`, one a part; None for
            none.
        meanwhile
            Other weights on their way along the loss: a kernel that computes more than it reads may
            move some of them as it goes.

        Returns
        -------
        bool
            False where there is no kernel, and then nothing was done.
        """
        return False

    def packed(self, step: Step, factor: float) -> Packed | None:  # noqa: ARG002
        """Return what a fused pair's kernel needs, `step` times `factor`; None where it cannot."""
        return None

    def point(self, step: float) -> Point | None:  # noqa: ARG002
        """Return the prox of single weights as a pass on a card does it; None where none can."""
        return None

    def composition(self) -> tuple[Penalty, ...]:
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

    def check_diagonal(self) -> None:
        """Do nothing where the prox takes a diagonal metric.

        Raises
        ------
        ConfigError
            It takes none.
        """
        if not self.diagonal:
            raise ConfigError(
                f"{self.public_name} has no proximal operator in a diagonal metric: "
                "train it with proximal_sgd or rmda instead of proximal_adam."
            )

    def scalar_step(self, step: Step) -> float:
        """Return `step` as a number.

        Raises
        ------
        ConfigError
            `step` is a tensor of several values.
        """
        if isinstance(step, Tensor):
            if step.numel() != 1:
                self.check_diagonal()
            return float(step)
        return step

    @property
    def exact(self) -> bool:
        """Whether `prox` is the argmin of the whole penalty, not just of its terms in turn."""
        return True

    @property
    def public_name(self) -> str:
        """The name of the penalty's file."""
        return type(self).__module__.rsplit(".", 1)[-1]
