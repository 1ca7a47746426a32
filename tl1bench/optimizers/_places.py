"""Where proxes act: groups of weights and whole weight tensors, where they lie, without copies.

No penalty is known by name here: each offers its own prox in place, and says by `fuses` with which
other one it can act in one pass.

Long because the three kinds of place share their conventions, and fusing needs all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.kernels import group_lasso
from tl1bench.kernels.memory import shard, summed
from tl1bench.neurons import Groups
from tl1bench.neurons.parts import SlicePart, rows_of
from tl1bench.penalties import Elementwise, Penalty, Radial
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

    @classmethod
    def of(cls, groups: Groups, tensors: Mapping[str, Tensor], members: int) -> GroupPlace:
        """Prepare `groups` of the tensors named."""
        parts = tuple(SlicePart.of(piece, tensors[piece.tensor]) for piece in groups.slices)
        return cls(groups, parts, members)

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors in which the groups lie, one for each part."""
        return tuple(part.piece.tensor for part in self.parts)

    def prox_(
        self, penalty: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply the prox of `penalty` with the named steps times `factor`, in place."""
        scale = penalty.scale_for(self.members)
        step: Step
        one = self.one_step(steps)
        if one is not None:
            if one == 0 or self._by_kernel(penalty, tensors, one, factor):
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
            if self._by_kernel(penalty, tensors, each, factor):
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

    def _by_kernel(
        self,
        penalty: Penalty,
        tensors: Mapping[str, Tensor],
        steps: float | Mapping[str, Tensor],
        factor: float,
    ) -> bool:
        """Apply the penalty's own prox in place; False where that cannot be."""
        rows = self._rows(tensors)
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
            along = self._rows(steps)
            if along is None:
                return False
            each = along
        scale = penalty.scale_for(self.members)
        return penalty.prox_rows_(rows, len(self.parts[0].index), each, factor, scale)

    def _rows(self, tensors: Mapping[str, Tensor]) -> list[Tensor] | None:
        """Return each part as a matrix for kernels; None where one is not laid out so."""
        found = []
        for part, name in zip(self.parts, self.names, strict=True):
            rows = rows_of(part, tensors[name])
            if rows is None:
                return None
            found.append(rows)
        return found

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

    def prox_(
        self, penalty: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
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

    def prox_(
        self, penalty: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply both proxes with the named steps times `factor`, in place."""
        if not self._in_one_pass(penalty, tensors, steps, factor):
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
        self, penalty: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> bool:
        parts, step = self.groups.parts, self.groups.one_step(steps)
        if not step or not isinstance(penalty, Radial):
            return False
        packed = [element.packed(steps[w.name], factor) for w, element in self._weights()]
        if not all(packed):
            return False
        if len(parts) == 1:
            rows = rows_of(parts[0], tensors[self.groups.names[0]])
            scale = penalty.scale_for(self.groups.members)
            count = len(parts[0].index)
            return rows is not None and penalty.prox_rows_(
                [rows], count, step, factor, scale, packed[0]
            )
        shorter = self.groups.factors(penalty, tensors, step * factor)
        for part, (place, element), then in zip(parts, self._weights(), packed, strict=True):
            rows = rows_of(part, tensors[place.name])
            if rows is None or then is None or not group_lasso.scale_(rows, shorter, then):
                part.scale_(tensors[place.name], shorter)
                place.prox_(element, tensors, steps, factor)
        return True


def _spread(step: Step, tensor: Tensor) -> Tensor:
    """Return a step for each weight, laid out as they are."""
    return step if isinstance(step, Tensor) else torch.full_like(tensor, step)


Place: TypeAlias = GroupPlace | TensorPlace | FusedPlace
Operation: TypeAlias = tuple[Penalty, float, Place]
"""A penalty, the factor on its step, and where it acts."""


def fused(operations: Sequence[Operation]) -> list[Operation]:
    """Return operations that do the same in fewer passes over the weights.

    A penalty on groups and, after it, the elementwise one that it `fuses` with on all of their
    tensors become one, unless other groups have a part in one of these.
    """
    groups = [place for _, _, place in operations if isinstance(place, GroupPlace)]
    shares = Counter(name for place in groups for name in place.names)
    last = {
        place.name: (turn, penalty.with_lam(penalty.lam * weight))
        for turn, (penalty, weight, place) in enumerate(operations)
        if isinstance(place, TensorPlace)
    }
    found: list[Operation] = []
    done: set[int] = set()
    for turn, (penalty, weight, place) in enumerate(operations):
        if turn in done:
            continue
        if isinstance(place, GroupPlace) and penalty.fuses and penalty.lam * weight > 0:
            partners = [last.get(name, (-1, penalty)) for name in place.names]
            if all(
                shares[name] == 1 and after > turn and element.fuses == penalty.fuses
                for name, (after, element) in zip(place.names, partners, strict=True)
            ):
                both = FusedPlace(place, tuple(element for _, element in partners))
                found.append((penalty.with_lam(penalty.lam * weight), 1.0, both))
                done.update(after for after, _ in partners)
                continue
        found.append((penalty, weight, place))
    return found


def places(
    layers: Sequence[Penalty],
    layer_weights: Sequence[float],
    groups: Sequence[tuple[int, GroupPlace]],
    names: Sequence[str],
) -> list[Operation]:
    """Return what the prox of a step does, in order: part by part of the penalty, on all layers.

    `layers` and `layer_weights` have the penalty and c_l of each weight layer, `groups` each block
    with its layer, `names` the penalised tensors in layer order.
    """
    tensors = [(i, TensorPlace(name)) for i, name in enumerate(names)]
    turns = [penalty.composition() for penalty in layers]
    return fused(
        [
            (turns[i][turn], layer_weights[i], place)
            for turn in range(len(turns[0]) if turns else 0)
            for i, place in (tensors if isinstance(turns[0][turn], Elementwise) else groups)
        ]
    )
