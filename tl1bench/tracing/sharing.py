"""Known tensors with several readers, and those computed from them: cut once, for all of them.

Every place along every axis of such a tensor has a label of its own, tied to the channels of all
that is laid out along it: it goes when none of them needs it. What reads the axis without channels
keeps it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.carrying import RANGES, VIEWS, Carried, carried
from tl1bench.tracing.channels import Bools, Channels, Ints
from tl1bench.tracing.graph import Traced, op_name
from tl1bench.tracing.slots import Slot

Places = list[Ints | None]
"""For every axis of a tensor the labels along it, or None where it stays whole."""


def share(
    traced: Traced, channels: Channels, slots_of: Callable[[fx.Node], list[Slot]]
) -> dict[fx.Node, Places]:
    """Tie the channels of all calls that read one tensor, or what is computed from it.

    Parameters
    ----------
    traced
        The network.
    channels
        Its labels; those along shared tensors are added to them.
    slots_of
        Where a call's own tensors are laid out by channel.

    Returns
    -------
    dict of Node to Places
        Of the tensors that are shared or computed.
    """
    found: dict[fx.Node, Places] = {}
    for node, tensor in traced.static.items():
        if node in traced.stored and traced.is_shared(node):
            found[node] = [channels.fresh(size) for size in tensor.shape]
    for node in traced.computed:
        found[node] = _passed_on(node, found, traced, channels)
    for node in traced.calls:
        operands = [operand for operand in node.all_input_nodes if operand in found]
        slots = slots_of(node) if operands else []
        for operand in operands:
            own = [slot for slot in slots if slot.tensor is operand]
            _read(found[operand], own, f"shared with {op_name(node)}", channels)
    for output in traced.outputs:
        if isinstance(output, fx.Node):
            _keep(found.get(output, []), "network output", channels)
    return found


def _passed_on(
    node: fx.Node, places: dict[fx.Node, Places], traced: Traced, channels: Channels
) -> Places:
    """Return the labels of a computed tensor: those of the axes that it is made of, tied."""
    found: Places = [None] * traced.static[node].dim()
    reason, own = f"read by {op_name(node)}", carried(node, traced.static)
    moved = {(c.operand, c.dim) for c in own}
    for operand in node.all_input_nodes:
        whole = [p for dim, p in enumerate(places[operand]) if (operand, dim) not in moved]
        _keep(whole, reason, channels)
    for to in range(len(found)):
        parts = [_part(places[c.operand][c.dim], c) for c in own if c.to == to]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            _keep(known, reason, channels)
        elif known:
            found[to] = known[0]
            for other in known[1:]:
                channels.tie(known[0], other)
    return found


def _part(labels: Ints | None, of: Carried) -> Ints | None:
    return None if labels is None else labels[of.start : of.stop]


def _read(places: Places, slots: Sequence[Slot], reason: str, channels: Channels) -> None:
    """Tie the labels along every axis to the channels that a call lays out along it."""
    for dim, labels in enumerate(places):
        own = [slot.ids for slot in slots if slot.dim == dim]
        if labels is None or not own or any(len(ids) != len(labels) for ids in own):
            _keep([labels, *own], reason, channels)
            continue
        for ids in own:
            channels.tie(labels, ids)


def _keep(axes: Iterable[Ints | None], reason: str, channels: Channels) -> None:
    for labels in axes:
        if labels is not None:
            channels.force(labels, reason)


class Shelf:
    """What is left of shared and computed tensors, and of the calls that compute them.

    Parameters
    ----------
    traced
        The network.
    places
        Labels along its tensors.
    keep
        (label,) which stay.
    """

    def __init__(self, traced: Traced, places: dict[fx.Node, Places], keep: Bools) -> None:
        self._traced, self._places, self._keep = traced, places, keep

    def left(self, node: fx.Node) -> Tensor:
        """Return what is left of a stored tensor."""
        tensor = self._traced.static[node]
        for dim, labels in enumerate(self._places.get(node, [])):
            if labels is not None and not self._keep[labels].all():
                index = torch.from_numpy(np.flatnonzero(self._keep[labels]))
                tensor = tensor.index_select(dim, index.to(tensor.device))
        return tensor

    def call(self, node: fx.Node, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Return operation and arguments that make what is left of a computed tensor.

        Parameters
        ----------
        node
            The call.
        args
            Its arguments, operands already replaced by what is left of them.

        Returns
        -------
        operation, arguments
            The keywords stay.
        """
        name = op_name(node)
        if name in (*VIEWS, *RANGES, "expand") and self._is_cut(node):
            if name in VIEWS:
                return torch.ops.aten.reshape.default, (args[0], self._sizes(node))
            if name == "expand":
                return node.target, (args[0], self._sizes(node), *args[2:])
            for cut in carried(node, self._traced.static):
                if cut.stop is not None:
                    return torch.ops.aten.slice.Tensor, (args[0], cut.dim, *self._ends(cut))
        return node.target, args

    def _is_cut(self, node: fx.Node) -> bool:
        around = [*self._places[node], *(p for o in node.all_input_nodes for p in self._places[o])]
        return any(labels is not None and not self._keep[labels].all() for labels in around)

    def _sizes(self, node: fx.Node) -> list[int]:
        shape = self._traced.static[node].shape
        return [
            size if labels is None else int(self._keep[labels].sum())
            for size, labels in zip(shape, self._places[node], strict=True)
        ]

    def _ends(self, cut: Carried) -> tuple[int, int]:
        labels = self._places[cut.operand][cut.dim]
        if labels is None:
            return cut.start, int(cut.stop or 0)
        stays = self._keep[labels]
        return int(stays[: cut.start].sum()), int(stays[: cut.stop].sum())
