"""Which axes of its operands a call on known tensors leaves as they are.

Rows that go from w go from w * mask, wᵀ, w / ‖w‖ and b[:, i] too: along such an axis place p of
the result is made of place p of the operand and of nothing else of it. Axes that a call sums over,
looks up in or mixes stay whole; so do all of a call that is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from tl1bench.tracing import arguments
from tl1bench.tracing.graph import op_name

Static = Mapping[fx.Node, Tensor]
VIEWS = ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze")
RANGES = ("slice", "narrow")
ORDERS = ("permute", "transpose", "t", "movedim", "swapaxes", "swapdims", "mT", "numpy_T")
_SUMS = ("sum", "mean", "amax", "amin", "norm", "linalg_vector_norm", "prod", "var", "std")
_SAME = ("contiguous", "alias", "detach", "clone", "to", "_to_copy", "dropout")


@dataclass(frozen=True)
class Carried:
    """Axis `dim` of `operand`, or its places from `start` to `stop`, is axis `to` of a call."""

    operand: fx.Node
    dim: int
    to: int
    start: int = 0
    stop: int | None = None


def carried(node: fx.Node, static: Static) -> list[Carried]:
    """Return the axes that a call on known tensors leaves as they are.

    Parameters
    ----------
    node
        The call.
    static
        Its operands and its result among others.

    Returns
    -------
    list of Carried
        Each axis of an operand at most once.
    """
    carrier = _CARRIERS.get(op_name(node))
    if carrier is not None:
        return list(carrier(node, static))
    target = node.target
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return list(_pointwise(node, static))
    return []


def order(node: fx.Node, ndim: int) -> list[int]:
    """Return where each axis of a result was, as the call itself moves axes of known sizes.

    Parameters
    ----------
    node
        A call that moves axes, sums over some or adds some of one place.
    ndim
        Axes of what it reads.

    Returns
    -------
    list of int
        One an axis of the result; -1 for a new one.
    """
    probe = torch.empty(*range(2, ndim + 2), device="meta")
    moved = node.target(probe, *node.args[1:], **node.kwargs)  # type: ignore[operator]
    return [int(size) - 2 if size > 1 else -1 for size in moved.shape]


def _pointwise(node: fx.Node, static: Static) -> Iterator[Carried]:
    result = static[node]
    for operand in node.all_input_nodes:
        shape = static[operand].shape
        ahead = result.dim() - len(shape)
        for dim, size in enumerate(shape):
            if size == result.shape[dim + ahead]:
                yield Carried(operand, dim, dim + ahead)


def _view(node: fx.Node, static: Static) -> Iterator[Carried]:
    """Yield the axes with as many numbers in front of them as behind the view."""
    source = arguments.node_of(node.args[0])
    before, after = static[source].shape, static[node].shape
    places = {(math.prod(after[:to]), size): to for to, size in enumerate(after) if size > 1}
    for dim, size in enumerate(before):
        if size > 1 and (math.prod(before[:dim]), size) in places:
            yield Carried(source, dim, places[math.prod(before[:dim]), size])


def _moved(node: fx.Node, static: Static) -> Iterator[Carried]:
    """Yield the axes that are still there, found by sending known sizes through the call."""
    source = arguments.node_of(node.args[0])
    for to, dim in enumerate(order(node, static[source].dim())):
        if dim >= 0:
            yield Carried(source, dim, to)


def _range(node: fx.Node, static: Static) -> Iterator[Carried]:
    """Yield all axes, of the cut one a part, if that is of neighbours."""
    source = arguments.node_of(node.args[0])
    tensor = static[source]
    own = int(arguments.complete(node)["dim"]) % tensor.dim()
    sizes = [1] * tensor.dim()
    sizes[own] = tensor.shape[own]
    probe = torch.arange(tensor.shape[own]).reshape(sizes)
    kept = node.target(probe, *node.args[1:], **node.kwargs).reshape(-1)  # type: ignore[operator]
    if len(kept) and int(kept[-1]) - int(kept[0]) == len(kept) - 1:
        yield Carried(source, own, own, int(kept[0]), int(kept[-1]) + 1)
    for dim in range(tensor.dim()):
        if dim != own:
            yield Carried(source, dim, dim)


def _place(node: fx.Node, static: Static) -> Iterator[Carried]:
    source = arguments.node_of(node.args[0])
    own = int(arguments.given(node)["dim"]) % static[source].dim()
    for dim in range(static[source].dim()):
        if dim != own:
            yield Carried(source, dim, dim - (dim > own))


def _looked_up(node: fx.Node, static: Static) -> Iterator[Carried]:
    """Yield the axes without an index, where those with one are neighbours."""
    source = arguments.node_of(node.args[0])
    indices = list(node.args[1])  # type: ignore[arg-type]
    own = [dim for dim, index in enumerate(indices) if index is not None]
    if own != list(range(own[0], own[-1] + 1)):
        return
    if any(static[index].dtype == torch.bool for index in indices if index is not None):
        return
    grown = static[node].dim() - static[source].dim()
    for dim in range(static[source].dim()):
        if dim not in own:
            yield Carried(source, dim, dim if dim < own[0] else dim + grown)


def _selected(node: fx.Node, static: Static) -> Iterator[Carried]:
    source = arguments.node_of(node.args[0])
    own = int(arguments.given(node)["dim"]) % static[source].dim()
    for dim in range(static[source].dim()):
        if dim != own:
            yield Carried(source, dim, dim)


_CARRIERS: dict[str, Callable[[fx.Node, Static], Iterator[Carried]]] = {
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(RANGES, _range),
    **dict.fromkeys((*ORDERS, *_SUMS), _moved),
    **dict.fromkeys((*_SAME, "expand", "expand_as"), _pointwise),
    "select": _place, "index": _looked_up, "index_select": _selected,
}  # fmt: skip
