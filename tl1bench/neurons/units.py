"""Units and groups of a model, derived from the channel analysis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from tl1bench.neurons.groups import Groups, TensorSlice, Units, make_groups
from tl1bench.neurons.weights import alone, layouts, weight_layers
from tl1bench.tracing.analysis import Analysis, analyse
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.capture import bare, trace
from tl1bench.tracing.channels import Ints
from tl1bench.tracing.rules import rule_of
from tl1bench.tracing.slots import Slot

SIDES = ("outgoing", "incoming", "both", "as_coded")


def units(model: nn.Module, example_inputs: Tensor | tuple[Tensor, ...]) -> tuple[Units, ...]:
    """Return all units of `model` in the order of the flow, in families of equal structure.

    Raises
    ------
    CompactionError
        When the model cannot be traced.
    """
    model = bare(model)
    state = _analyse(model, example_inputs)
    classes = state.channels.classes()
    named = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    slots = _slots(state, named)
    stays = _stays(state, classes, named)
    families = []
    for labels, parts in _families(slots, classes):
        slices = [(slot, _piece(state, slot, index)) for slot, index in parts]
        produced = tuple(s for slot, s in slices if slot.role in ("produced", "both"))
        consumed = tuple(s for slot, s in slices if slot.role in ("consumed", "both"))
        for removable in (False, True):
            chosen = np.flatnonzero(stays[labels] != removable)
            if len(chosen):
                families.append(
                    Units(len(chosen), _pick(produced, chosen), _pick(consumed, chosen), removable)
                )
    return tuple(families)


def groups(
    model: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    side: str | Sequence[str] = "outgoing",
    weights: Sequence[str] | None = None,
) -> tuple[Groups, ...]:
    """Return the groups of weights that a group penalty acts on, in the order of weight layers.

    `side`: "outgoing" (all weights that leave one unit), "incoming" (all that enter one unit),
    "both" (each weight is in two groups), "as_coded" (every input position by itself: the vector
    over outputs), or a list with one side for each of the `weights`. A unit whose weights
    live in several layers has their union as its group. With a one-sided choice every element of
    every weight is in exactly one group. A layer that the analysis does not reach is seen by
    itself: a recurrent unit over its gates, a head of attention, a column of an embedding.

    Parameters
    ----------
    model
        The network.
    example_inputs
        Inputs with a batch in their first dimension.
    side
        See above.
    weights
        Names of the weights that are to be grouped; those of `weight_layers(model)` by default.

    Returns
    -------
    tuple of Groups
        In the order of weight layers.

    Raises
    ------
    CompactionError
        When the model cannot be traced.
    ValueError
        When `side` is unknown or its length is wrong.
    """
    model = bare(model)
    names = weight_layers(model) if weights is None else tuple(weights)
    sides = [side] * len(names) if isinstance(side, str) else list(side)
    if len(sides) != len(names) or not set(sides) <= set(SIDES):
        raise ValueError(f"side must be one of {SIDES}, or one for each of {len(names)} layers.")
    shapes = {name: p.shape for name, p in model.named_parameters()}
    state = _analyse(model, example_inputs)
    classes, slots = state.channels.classes(), _slots(state, set(shapes))
    place = {name: i for i, name in enumerate(names)}
    blocks: list[tuple[int, list[TensorSlice]]] = []
    covered: set[tuple[str, str]] = set()
    for wanted, roles in (("outgoing", ("consumed", "both")), ("incoming", ("produced", "both"))):
        chosen = [
            slot for slot in slots
            if state.traced.names[slot.tensor] in place
            and slot.role in roles
            and sides[place[state.traced.names[slot.tensor]]] in (wanted, "both")
        ]  # fmt: skip
        covered |= {(state.traced.names[slot.tensor], wanted) for slot in chosen}
        for _, parts in _families(chosen, classes):
            slices = [_piece(state, slot, index) for slot, index in parts]
            blocks.append((min(place[s.tensor] for s in slices), slices))
    for slices in alone(names, sides, shapes, layouts(model), covered):
        blocks.append((min(place[s.tensor] for s in slices), slices))
    blocks.sort(key=lambda block: block[0])
    return tuple(make_groups(layer, len(names), slices, shapes) for layer, slices in blocks)


def _analyse(model: nn.Module, example_inputs: Tensor | tuple[Tensor, ...]) -> Analysis:
    inputs = as_tuple(example_inputs)
    if any(x.dim() and x.shape[0] == 1 for x in inputs):
        inputs = tuple(torch.cat([x, x]) for x in inputs)
    return analyse(trace(model, inputs), rule_of)


def _slots(state: Analysis, named: set[str]) -> list[Slot]:
    """All slots on the `named` tensors, in the order of the flow, each once."""
    found: dict[tuple[fx.Node, int, str], Slot] = {}
    for node in state.traced.calls:
        for slot in rule_of(node).slots(node, state):
            if state.traced.names.get(slot.tensor) in named:
                found.setdefault((slot.tensor, slot.dim, slot.role), slot)
    return list(found.values())


def _stays(state: Analysis, classes: Ints, named: set[str]) -> NDArray[np.bool_]:
    """For each class whether it must stay as it is, whatever its weights are."""
    stays = np.zeros(int(classes.max(initial=-1)) + 1, dtype=bool)
    for some in state.channels.forced.values():
        for ids in some:
            stays[classes[ids]] = True
    for node in state.traced.calls:
        slots = rule_of(node).slots(node, state)
        # Groups of a grouped convolution must stay equal, a computed weight cannot be sliced:
        # neither is a single unit's own decision.
        fixed = any(slot.blocks > 1 or slot.fixed for slot in slots)
        for slot in slots:
            if fixed or state.traced.names.get(slot.tensor) not in named:
                stays[classes[slot.ids]] = True
    return stays


def _families(slots: Sequence[Slot], classes: Ints) -> list[tuple[Ints, list[tuple[Slot, Ints]]]]:
    """Sort classes into families that occur in the same slots, equally often.

    Returns for each family its classes (G,), in the order of first occurrence, and for each slot
    the positions (G, k).
    """
    size = int(classes.max(initial=-1)) + 1
    signature = np.zeros(size, dtype=np.uint64)
    first = np.full(size, np.iinfo(np.int64).max)
    random = np.random.default_rng(0).integers(1, 2**63, len(slots), dtype=np.uint64)
    start = 0
    for slot, code in zip(slots, random, strict=True):
        labels = classes[slot.ids]
        np.add.at(signature, labels, code)
        np.minimum.at(first, labels, start + np.arange(len(labels)))
        start += len(labels)
    present = np.flatnonzero(signature)
    present = present[np.argsort(first[present], kind="stable")]
    _, where, inverse = np.unique(signature[present], return_index=True, return_inverse=True)
    families = []
    for number in np.argsort(where, kind="stable"):
        members = present[inverse == number]
        rank = np.full(size, -1)
        rank[members] = np.arange(len(members))
        parts = []
        for slot in slots:
            ranks = rank[classes[slot.ids]]
            positions = np.flatnonzero(ranks >= 0)
            if len(positions):
                order = np.argsort(ranks[positions], kind="stable")
                parts.append((slot, positions[order].reshape(len(members), -1)))
        families.append((members, parts))
    return families


def _piece(state: Analysis, slot: Slot, index: Ints) -> TensorSlice:
    return TensorSlice(
        state.traced.names[slot.tensor], slot.dim, torch.from_numpy(index), slot.blocks
    )


def _pick(slices: tuple[TensorSlice, ...], chosen: Ints) -> tuple[TensorSlice, ...]:
    return tuple(
        TensorSlice(s.tensor, s.dim, s.index[torch.from_numpy(chosen)], s.blocks) for s in slices
    )
