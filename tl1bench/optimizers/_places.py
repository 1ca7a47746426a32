"""Where proxes act: groups of weights and whole weight tensors, where they lie, without copies.

No penalty is known by name here: each offers its own prox in place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.kernels.memory import Rows, lying, shard, summed
from tl1bench.kernels.momentum import Queue
from tl1bench.kernels.tl1 import Packed
from tl1bench.neurons import Groups
from tl1bench.neurons.parts import SlicePart, rows_of
from tl1bench.penalties import Penalty, Radial
from tl1bench.penalties._base import Step

Steps: TypeAlias = Mapping[str, Step]


def key_of(block: Groups) -> str:
    """Return what names a block while its sizes change: where its slices lie."""
    return " ".join(f"{s.tensor}:{s.dim}:{s.flat:d}" for s in block.slices)


@dataclass(frozen=True, eq=False)
class GroupPlace:
    """Groups that share a layer and a size; `members` is their size in the original network."""

    groups: Groups
    parts: tuple[SlicePart, ...]
    members: int
    _kept: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, groups: Groups, tensors: Mapping[str, Tensor], members: int) -> GroupPlace:
        """Prepare `groups` of the tensors named, their indices on the tensors' devices."""
        slices = tuple(
            dataclasses.replace(piece, index=piece.index.to(tensors[piece.tensor].device))
            for piece in groups.slices
        )
        parts = tuple(SlicePart.of(piece, tensors[piece.tensor]) for piece in slices)
        return cls(dataclasses.replace(groups, slices=slices), parts, members)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The tensors in which the groups lie, one for each part."""
        return tuple(part.piece.tensor for part in self.parts)

    def prox_(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
        meanwhile: Queue | None = None,
    ) -> None:
        """Apply the prox of `penalty` with the named steps times `factor`, in place."""
        scale = penalty.scale_for(self.members)
        step: Step
        one = self.one_step(steps)
        if one is not None:
            if one == 0 or self.by_kernel(penalty, tensors, one, factor, meanwhile=meanwhile):
                return
            if isinstance(penalty, Radial):
                shorter = self.factors(penalty, tensors, one * factor)
                for part, name in zip(self.parts, self.names, strict=True):
                    part.scale_(tensors[name], shorter)
                return
            step = one
        else:
            self._check_metric(penalty)
            each = {n: _spread(steps[n], tensors[n]) for n in self.names}
            if self.by_kernel(penalty, tensors, each, factor):
                return
            step = self.groups.gather(each)
        z = self.groups.gather(tensors)
        self.groups.scatter_(tensors, penalty.prox(z, step * factor, scale))

    def one_step(self, steps: Steps) -> float | None:
        """Return the step that all parts have; None where steps differ."""
        first = steps[self.names[0]]
        if isinstance(first, Tensor) or any(steps[name] != first for name in self.names[1:]):
            return None
        return first

    def _check_metric(self, penalty: Penalty) -> None:
        if not penalty.diagonal:
            raise ConfigError(
                f"{', '.join(dict.fromkeys(self.names))} share groups but not their learning rate "
                f"(0 without a gradient): {penalty.public_name} has no proximal operator in a "
                "diagonal metric; give them one rate, or take group_lasso."
            )

    def by_kernel(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: float | Mapping[str, Tensor],
        factor: float,
        then: Sequence[Packed | None] | None = None,
        meanwhile: Queue | None = None,
    ) -> bool:
        """Apply the penalty's own prox in place, and `then`; False where that cannot be."""
        rows = self.kept_rows(tensors)
        if rows is None:
            return False
        each: float | list[Tensor] = 0.0
        if isinstance(steps, float):
            each = steps
        else:
            named = [steps[name] for name in self.names]
            if any(
                s.stride() != tensors[n].stride() for s, n in zip(named, self.names, strict=True)
            ):
                return False
            along = self.rows(steps)
            if along is None:
                return False
            each = along
        scale = penalty.scale_for(self.members)
        count = len(self.parts[0].index)
        return penalty.prox_rows_(rows, count, each, factor, scale, then, meanwhile)

    def kept_rows(self, tensors: Mapping[str, Tensor]) -> Rows | None:
        """Return `rows`, made anew only where the memory of a tensor is another one."""
        at = lying([tensors[name] for name in self.names])
        if at is None or at != self._kept.get("at"):
            self._kept.update(at=at, rows=self.rows(tensors))
        found: Rows | None = self._kept["rows"]
        return found

    def rows(self, tensors: Mapping[str, Tensor]) -> Rows | None:
        """Return each part as a matrix for kernels; None where one is not laid out so."""
        each = (rows_of(p, tensors[n]) for p, n in zip(self.parts, self.names, strict=True))
        found = [rows for rows in each if rows is not None]
        return Rows(found) if len(found) == len(self.parts) else None

    def factors(self, penalty: Radial, tensors: Mapping[str, Tensor], step: float) -> Tensor:
        """Return what the prox of `penalty` with `step` multiplies each group by."""
        squares = [p.squares(tensors[n]) for p, n in zip(self.parts, self.names, strict=True)]
        total = squares[0] if len(squares) == 1 else torch.stack(squares).sum(0)
        return penalty.factor(total.sqrt(), step, penalty.scale_for(self.members))

    def value(self, penalty: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `penalty` on all these groups."""
        return penalty.value(self.groups.gather(tensors), penalty.scale_for(self.members)).sum()


@dataclass(frozen=True)
class TensorPlace:
    """A weight tensor, every element by itself."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """The tensor."""
        return (self.name,)

    def prox_(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
        meanwhile: Queue | None = None,  # noqa: ARG002
    ) -> None:
        """Apply the prox of elementwise `penalty` with the named steps times `factor`."""
        step = steps[self.name]
        if isinstance(step, Tensor):
            penalty.prox_(shard(tensors[self.name]), shard(step), factor)
        elif step > 0:
            penalty.prox_(shard(tensors[self.name]), step, factor)

    def value(self, penalty: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `penalty` on all elements."""
        w = tensors[self.name]
        here = penalty.value(shard(w).reshape(1, -1)).sum()
        return summed(here, w)


@dataclass(frozen=True, eq=False)
class FusedPlace:
    """Groups under a radial penalty, then the weights in them under its elementwise partner.

    A large layer waits for memory: one pass reads and writes it once less than two.
    """

    groups: GroupPlace
    elements: tuple[Penalty, ...]  # that of each part's tensor

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors in which the groups lie, one for each part."""
        return self.groups.names

    def prox_(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
        meanwhile: Queue | None = None,
    ) -> None:
        """Apply both proxes with the named steps times `factor`, in place."""
        if not self._in_one_pass(penalty, tensors, steps, factor, meanwhile):
            self.groups.prox_(penalty, tensors, steps, factor)
            for place, element in self._weights():
                place.prox_(element, tensors, steps, factor)

    def value(self, penalty: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of both penalties."""
        apart = [place.value(element, tensors) for place, element in self._weights()]
        return self.groups.value(penalty, tensors) + torch.stack(apart).sum()

    def _weights(self) -> Iterator[tuple[TensorPlace, Penalty]]:
        for name, element in zip(self.groups.names, self.elements, strict=True):
            yield TensorPlace(name), element

    def _in_one_pass(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
        meanwhile: Queue | None,
    ) -> bool:
        step = self.groups.one_step(steps)
        if not step:
            return False
        then = [element.packed(step, factor) for element in self.elements]
        return all(then) and self.groups.by_kernel(penalty, tensors, step, factor, then, meanwhile)


def _spread(step: Step, tensor: Tensor) -> Tensor:
    """Return a step for each weight, laid out as they are."""
    return step if isinstance(step, Tensor) else torch.full_like(tensor, step)


Place: TypeAlias = GroupPlace | TensorPlace | FusedPlace
