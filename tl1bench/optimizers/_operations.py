"""What the prox of a step does, in order, in as few passes over the weights as can be.

No penalty is known by name here: each says by `fuses` with which other one it can act in one pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from tl1bench.optimizers._places import FusedPlace, GroupPlace, Place, TensorPlace
from tl1bench.penalties import Elementwise, Penalty

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
