"""The two operands of a sum, product or the like: where their channels meet, what is constant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Floats
from tl1bench.tracing.graph import shape_of


@dataclass(frozen=True, eq=False)
class Pair:
    """Two operands whose channels lie along `axis` of the result.

    `const` has for each of them one number a channel, NaN where it is none.
    """

    axis: int
    const: tuple[Floats, Floats]


def channel_axis(node: fx.Node, state: Analysis) -> int | None:
    """Return the axis of the result along which channels lie; None where that is not known."""
    tracked = [o for o in both(node) if o in state.flows]
    if not tracked or any(o not in state.flows and state.tensor(o) is None for o in both(node)):
        return None
    ndim, first = node.meta["val"].dim(), tracked[0]
    axis = int(state.flows[first].axis + ndim - first.meta["val"].dim())
    if any(own_axis(node, o, axis) < 1 for o in dependent(node, state)):
        return None
    return axis


def own_axis(node: fx.Node, operand: fx.Node, axis: int) -> int:
    """Return the axis of an operand that meets `axis` of the result."""
    return int(axis - node.meta["val"].dim() + operand.meta["val"].dim())


def operand_constants(node: fx.Node, operand: fx.Node, axis: int, state: Analysis) -> Floats:
    """Return what is constant of an operand, spread over the channels of the result."""
    shape, tensor = shape_of(node), state.tensor(operand)
    if tensor is not None:
        return _static_constants(tensor, axis, len(shape), shape[axis])
    part = state.along(operand, own_axis(node, operand, axis))
    return np.broadcast_to(part.const, shape[axis])


def both(node: fx.Node) -> tuple[fx.Node, fx.Node]:
    return node_of(node.args[0]), node_of(node.args[1])


def is_on_left(node: fx.Node) -> bool:
    return isinstance(node.args[0], fx.Node) and len(node.all_input_nodes) == 1


def dependent(node: fx.Node, state: Analysis) -> list[fx.Node]:
    return [o for o in both(node) if state.tensor(o) is None]


def static_dim(tensor: Tensor, axis: int, ndim: int, count: int) -> int | None:
    """Return the dimension of a known operand that lies on the channel axis, if it has extent."""
    dim = axis - (ndim - tensor.dim())
    return dim if dim >= 0 and tensor.shape[dim] == count and count > 1 else None


def _static_constants(tensor: Tensor, axis: int, ndim: int, count: int) -> Floats:
    """Per channel the one number that a known operand holds, NaN where it holds several."""
    dim = axis - (ndim - tensor.dim())
    table = tensor.to(torch.float64)
    table = (
        table.movedim(dim, 0).reshape(table.shape[dim], -1) if dim >= 0 else table.reshape(1, -1)
    )
    low, high = table.amin(dim=1), table.amax(dim=1)
    values = torch.where(low == high, low, torch.full_like(low, torch.nan)).numpy()
    return np.broadcast_to(values, count)
