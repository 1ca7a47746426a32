"""Proxes of groups of weights and of whole weight tensors where they lie, without copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from tl1bench.kernels import diagonal
from tl1bench.neurons import Groups
from tl1bench.neurons.parts import Span, group_lasso_, rows_of, scale_and_shrink_
from tl1bench.penalties import Elementwise, Penalty, Radial
from tl1bench.penalties._base import Step
from tl1bench.penalties.group_lasso import GroupLasso
from tl1bench.penalties.tl1 import TransformedL1

Steps: TypeAlias = Mapping[str, Step]


def key_of(block: Groups) -> str:
    """Return what names a block while its sizes change: where its slabs lie."""
    return " ".join(f"{s.tensor}:{s.dim}:{s.flat:d}" for s in block.slabs)


@dataclass(frozen=True, eq=False)
class Block:
    """Groups that share a layer and a size; `members` is their size in the original network."""

    groups: Groups
    spans: tuple[Span, ...]
    members: int

    @classmethod
    def of(cls, groups: Groups, tensors: Mapping[str, Tensor], members: int) -> Block:
        """Prepare `groups` of the tensors named."""
        spans = tuple(Span.of(slab, tensors[slab.tensor]) for slab in groups.slabs)
        return cls(groups, spans, members)

    def prox_(
        self, stage: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply the prox of `stage` with the named steps times `factor`, in place."""
        scale = stage.scale_for(self.members)
        step = steps[self.spans[0].slab.tensor]
        if not isinstance(step, Tensor) and step == 0:
            return
        if isinstance(step, Tensor):
            each = {n: s for n, s in steps.items() if isinstance(s, Tensor)}
            amount = factor * stage.lam * scale
            if type(stage) is GroupLasso and self._in_metric(tensors, each, amount):
                return
            step = self.groups.gather(each)
        elif isinstance(stage, Radial):
            if type(stage) is GroupLasso and len(self.spans) == 1:  # not what others derive
                span, amount = self.spans[0], step * factor * stage.lam * scale
                if group_lasso_(span, tensors[span.slab.tensor], amount):
                    return
            shorter = self.factors(stage, tensors, step * factor)
            for span in self.spans:
                span.scale_(tensors[span.slab.tensor], shorter)
            return
        z = self.groups.gather(tensors)
        self.groups.scatter_(tensors, stage.prox(z, step * factor, scale))

    def _in_metric(
        self, tensors: Mapping[str, Tensor], steps: Mapping[str, Tensor], amount: float
    ) -> bool:
        """Apply group lasso in the metric of the steps in C; False where that cannot be."""
        weights, widths = [], []
        for span in self.spans:
            w, step = tensors[span.slab.tensor], steps[span.slab.tensor]
            rows = rows_of(span, w)
            if rows is None or step.dtype != w.dtype or step.stride() != w.stride():
                return False
            along = rows_of(span, step)
            assert along is not None
            weights.append(rows)
            widths.append(along)
        return diagonal.group_lasso_(weights, widths, len(self.spans[0].index), amount)

    def factors(self, stage: Radial, tensors: Mapping[str, Tensor], step: float) -> Tensor:
        """Return what the prox of `stage` with `step` multiplies each group by."""
        squares = [span.squares(tensors[span.slab.tensor]) for span in self.spans]
        total = squares[0] if len(squares) == 1 else torch.stack(squares).sum(0)
        return stage.factor(total.sqrt(), step, stage.scale_for(self.members))

    def value(self, stage: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `stage` on all these groups."""
        return stage.value(self.groups.gather(tensors), stage.scale_for(self.members)).sum()


@dataclass(frozen=True)
class Whole:
    """A weight tensor, every element by itself."""

    name: str

    def prox_(
        self, stage: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply the prox of elementwise `stage` with the named steps times `factor`, in place."""
        assert isinstance(stage, Elementwise)
        w, step = tensors[self.name], steps[self.name]
        if (
            isinstance(step, Tensor)
            and type(stage) is TransformedL1
            and diagonal.tl1_(w, step, factor * stage.lam, stage.a)
        ):
            return
        if isinstance(step, Tensor) or step > 0:
            stage.prox_(w, step * factor)

    def value(self, stage: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `stage` on all elements."""
        return stage.value(tensors[self.name].reshape(1, -1)).sum()


@dataclass(frozen=True, eq=False)
class BlockThenWeights:
    """A block under group lasso, and then the weights in it under transformed ℓ1.

    A large layer waits for memory: shortening its groups and shrinking its weights in one pass
    reads and writes it once less. Where C cannot go, one happens after the other.
    """

    block: Block
    elements: tuple[TransformedL1, ...]  # that of each span's tensor

    def prox_(
        self, stage: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply both proxes with the named steps times `factor`, in place."""
        assert isinstance(stage, GroupLasso)
        if not self._in_one_pass(stage, tensors, steps, factor):
            self.block.prox_(stage, tensors, steps, factor)
            for whole, element in self._weights():
                whole.prox_(element, tensors, steps, factor)

    def value(self, stage: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of both penalties."""
        apart = [whole.value(element, tensors) for whole, element in self._weights()]
        return self.block.value(stage, tensors) + torch.stack(apart).sum()

    def _weights(self) -> Iterator[tuple[Whole, TransformedL1]]:
        for span, element in zip(self.block.spans, self.elements, strict=True):
            yield Whole(span.slab.tensor), element

    def _in_one_pass(
        self, stage: GroupLasso, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> bool:
        spans = self.block.spans
        step = steps[spans[0].slab.tensor]
        if isinstance(step, Tensor) or step == 0:
            return False
        constants = [element.packed(steps[w.name], factor) for w, element in self._weights()]
        if not all(constants):
            return False
        if len(spans) == 1:
            amount = step * factor * stage.lam * stage.scale_for(self.block.members)
            return group_lasso_(spans[0], tensors[spans[0].slab.tensor], amount, constants[0])
        shorter = self.block.factors(stage, tensors, step * factor)
        for span, (whole, element), k in zip(spans, self._weights(), constants, strict=True):
            assert k is not None
            if not scale_and_shrink_(span, tensors[whole.name], shorter, k):
                span.scale_(tensors[whole.name], shorter)
                whole.prox_(element, tensors, steps, factor)
        return True


Place: TypeAlias = Block | Whole | BlockThenWeights
Operation: TypeAlias = tuple[Penalty, float, Place]
"""A penalty, the factor on its step, and where it acts."""


def joined(operations: Sequence[Operation]) -> list[Operation]:
    """Return operations that do the same in fewer passes over the weights.

    Group lasso on a block and, after it, transformed ℓ1 on all of its tensors become one, unless
    another block has a part in one of these.
    """
    blocks = [place for _, _, place in operations if isinstance(place, Block)]
    shares = Counter(span.slab.tensor for block in blocks for span in block.spans)
    last = {
        place.name: (turn, stage.with_lam(stage.lam * weight))
        for turn, (stage, weight, place) in enumerate(operations)
        if isinstance(place, Whole) and type(stage) is TransformedL1
    }
    found: list[Operation] = []
    done: set[int] = set()
    for turn, (stage, weight, place) in enumerate(operations):
        if turn in done:
            continue
        if isinstance(place, Block) and type(stage) is GroupLasso and stage.lam * weight > 0:
            names = [span.slab.tensor for span in place.spans]
            if all(shares[n] == 1 and last.get(n, (-1,))[0] > turn for n in names):
                then = BlockThenWeights(place, tuple(last[n][1] for n in names))
                found.append((stage.with_lam(stage.lam * weight), 1.0, then))
                done.update(last[n][0] for n in names)
                continue
        found.append((stage, weight, place))
    return found
