"""A step on a card: weights move in the first of two passes over them, and shrink in the second.

No penalty is known by name here: one on groups says what each is multiplied by, one on single
weights says by `point` what a pass is to do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from tl1bench.kernels import card
from tl1bench.kernels.memory import flat_view, in_step
from tl1bench.kernels.momentum import Momentum
from tl1bench.neurons.parts import rows_of
from tl1bench.optimizers._places import FusedPlace, GroupPlace, Place, Steps, TensorPlace
from tl1bench.penalties import Penalty, Radial


class OnCard:
    """Weights on a card that are still to be moved, and the proxes that passes can do there."""

    def __init__(self) -> None:
        self._waiting: dict[Tensor, tuple[Tensor, Tensor, Momentum]] = {}

    def add(self, rule: Momentum, p: Tensor, g: Tensor, v: Tensor) -> bool:
        """Take in a weight, to be moved in the first pass over it.

        Parameters
        ----------
        rule
            How it moves.
        p, g, v
            Weights, gradient and momentum, of one shape and layout.

        Returns
        -------
        bool
            False where no pass can go over it, and then it is not taken.
        """
        if not card.holds(p) or not card.takes(p, g, v):
            return False
        if not (in_step(p, g, v) if rule.keep else in_step(p, g)):
            return False
        self._waiting[p] = g, v, rule
        return True

    def prox_(
        self,
        penalty: Penalty,
        place: Place,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
    ) -> bool:
        """Move what waits in a place and apply the prox there, in two passes.

        Parameters
        ----------
        penalty, place
            Which prox, and where.
        tensors, steps
            The weights by name, and their steps.
        factor
            Number ≥ 0 on the steps.

        Returns
        -------
        bool
            False where passes cannot do it: what waits there was moved, nothing else done.
        """
        done = card.holds(tensors[place.names[0]]) and (
            self._weights(penalty, place, tensors, steps, factor)
            if isinstance(place, TensorPlace)
            else self._groups(penalty, place, tensors, steps, factor)
        )
        if not done:
            self.finish(tensors[name] for name in place.names)
        return done

    def finish(self, params: Iterable[Tensor] | None = None) -> None:
        """Move those of `params` that are still to be moved; all when not given."""
        for p in list(self._waiting) if params is None else params:
            if p in self._waiting:
                card.first_pass_(_line(p), 0, self._move(p, _line))

    def _weights(
        self,
        penalty: Penalty,
        place: TensorPlace,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
    ) -> bool:
        p, step = tensors[place.name], steps[place.name]
        point = None if isinstance(step, Tensor) or not step else penalty.point(step * factor)
        if point is None or not card.takes(p) or flat_view(p) is None:
            return False
        card.first_pass_(_line(p), 0, self._move(p, _line), point)
        return True

    def _groups(
        self,
        penalty: Penalty,
        place: GroupPlace | FusedPlace,
        tensors: Mapping[str, Tensor],
        steps: Steps,
        factor: float,
    ) -> bool:
        groups = place.groups if isinstance(place, FusedPlace) else place
        step = groups.one_step(steps)
        if not step or not isinstance(penalty, Radial):
            return False
        amount = step * factor
        points: Sequence[card.Point | None] = [card.Point()] * len(groups.parts)
        if isinstance(place, FusedPlace):
            points = [element.point(amount) for element in place.elements]
        weights = [tensors[name] for name in groups.names]
        rows = groups.rows(tensors)
        if rows is None or not card.takes(*rows) or None in points:
            return False
        count = len(groups.parts[0].index)
        squares = [
            card.first_pass_(matrix, count, self._move(p, functools.partial(rows_of, part)))
            for matrix, p, part in zip(rows, weights, groups.parts, strict=True)
        ]
        total = squares[0] if len(squares) == 1 else torch.stack(squares).sum(0)
        shorter = penalty.factor(total.sqrt(), amount, penalty.scale_for(groups.members))
        for matrix, point in zip(rows, points, strict=True):
            card.second_pass_(matrix, shorter, point)
        return True

    def _move(self, p: Tensor, laid: Callable[[Tensor], Tensor | None]) -> card.Move | None:
        """Return what moves a weight that waits, its tensors `laid` out as the weight is."""
        if p not in self._waiting:
            return None
        g, v, rule = self._waiting.pop(p)
        gradient, average = laid(g.detach()), laid(v)
        assert gradient is not None
        assert average is not None
        return card.Move(gradient, average, rule)


def _line(t: Tensor) -> Tensor:
    """Return a dense tensor as a matrix of one row."""
    flat = flat_view(t)
    assert flat is not None
    return flat.view(1, -1)
