"""Before any training: which units could leave, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from tl1bench.neurons.units import _analyse, _families, _slots
from tl1bench.neurons.weights import weight_layers
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.capture import bare
from tl1bench.tracing.channels import Ints
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules import rule_of


@dataclass(frozen=True)
class Family:
    """Units of equal structure: what makes them, what reads them, and why they must stay.

    An empty `reason` says that each of them leaves once the weights that leave it are zero.
    """

    count: int
    made_by: tuple[str, ...]
    read_by: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Outlook:
    """What the analysis of a network found: its families, calls, and operations without a rule."""

    families: tuple[Family, ...]
    calls: int
    opaque: tuple[str, ...]


def outlook(model: nn.Module, example_inputs: Tensor | tuple[Tensor, ...]) -> Outlook:
    """Return what could leave `model`.

    Raises
    ------
    CompactionError
        When the model cannot be traced.
    """
    network = bare(model)
    state = _analyse(network, example_inputs)
    named = {name for name, _ in [*network.named_parameters(), *network.named_buffers()]}
    classes = state.channels.classes()
    why = _reasons(state, classes, named)
    return Outlook(
        tuple(_told(state, classes, named, why, set(weight_layers(network)))),
        len(list(state.traced.calls)),
        tuple(dict.fromkeys(op_name(node) for node in state.opaque)),
    )


def _told(
    state: Analysis, classes: Ints, named: set[str], why: dict[int, str], weights: set[str]
) -> Iterator[Family]:
    for labels, parts in _families(_slots(state, named), classes):
        reasons = [why.get(label, "") for label in labels.tolist()]
        by_role: dict[str, list[str]] = {"produced": [], "consumed": []}
        for slot, _ in parts:
            for role, names in by_role.items():
                if slot.role in (role, "both") and state.traced.names[slot.tensor] in weights:
                    names.append(state.label(slot.tensor))
        made, read = (tuple(dict.fromkeys(names)) for names in by_role.values())
        for reason in dict.fromkeys(reasons):
            yield Family(reasons.count(reason), made, read, reason)


def _reasons(state: Analysis, classes: Ints, named: set[str]) -> dict[int, str]:
    """Return why each class that must stay must."""
    why: dict[int, str] = {}
    for node in state.traced.calls:
        slots = rule_of(node).slots(node, state)
        fixed = any(slot.blocks > 1 for slot in slots)
        for slot in slots:
            reason = ""
            if state.traced.names.get(slot.tensor) not in named:
                reason = f"{state.label(slot.tensor)} is computed from other weights"
            elif fixed:
                reason = "groups of a convolution stay equally large"
            if reason:
                why.update(dict.fromkeys(np.unique(classes[slot.ids]).tolist(), reason))
    for reason, some in state.channels.forced.items():
        for ids in some:
            why.update(dict.fromkeys(np.unique(classes[ids]).tolist(), reason))
    return why
