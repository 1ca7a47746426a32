"""Calls in the form that most networks use: pieces, layers written as products, attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from tl1bench.tracing import arguments
from tl1bench.tracing.carrying import ORDERS, order
from tl1bench.tracing.graph import fold, op_name
from tl1bench.tracing.masks import unspread

Static = dict[fx.Node, Tensor]
_PIECES = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unbind")


def usual(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Put the usual form of a call in its place.

    Parameters
    ----------
    node
        A call.
    graph
        Where it stands.
    static
        The known tensors.

    Returns
    -------
    Node
        The call itself where it has no other form.
    """
    form = _FORMS.get(op_name(node))
    return node if form is None else form(node, graph, static)


def _piece(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read a piece of a known tensor as a slice or a place of it."""
    owner, place = node.args[0], node.args[1]
    if not isinstance(owner, fx.Node) or op_name(owner) not in _PIECES:
        return node
    source = owner.args[0]
    if source not in static or not isinstance(place, int):
        return node
    dim, pieces, ops = int(arguments.complete(owner)["dim"]), owner.meta["val"], torch.ops.aten
    if op_name(owner) == "unbind":
        return _replaced(node, graph, ops.select.int, (source, dim, place))
    start = sum(piece.shape[dim] for piece in pieces[:place])
    ends = start, start + pieces[place].shape[dim]
    return _replaced(node, graph, ops.slice.Tensor, (source, dim, *ends))


def _layer(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read an einsum over the last axis of x and one of a known matrix as a linear layer."""
    read, _, result = str(node.args[0]).replace(" ", "").partition("->")
    names, operands = read.split(","), list(node.args[1])  # type: ignore[arg-type]
    known = [i for i, operand in enumerate(operands) if operand in static]
    if len(names) != 2 or len(known) != 1:
        return node
    matrix, other = names[known[0]], names[1 - known[0]]
    summed, alone = other[-1:], matrix.replace(other[-1:], "", 1)
    fits = len(matrix) == 2 and len(alone) == 1 and alone not in other and summed != "."
    if not fits or alone == "." or result != other[:-1] + alone or summed in other[:-1]:
        return node
    ops = torch.ops.aten
    target = ops.linear.default if matrix == alone + summed else ops.matmul.default
    return _replaced(node, graph, target, (operands[1 - known[0]], operands[known[0]]))


def _product(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read x·a, a·xᵀ and A·xᵀ of known vectors and matrices as layers over the last axis of x."""
    first, second = (arguments.node_of(operand) for operand in node.args[:2])
    on_left = first in static
    known, x = (first, _transposed(second)) if on_left else (second, first)
    width = static[known].dim() if known in static else 0
    if x is None or x in static or x.meta["val"].dim() < 2 or width not in (1, 1 + on_left):
        return node
    ops = torch.ops.aten
    if width == 1:
        known = _call(node, graph, static, ops.unsqueeze.default, (known, 0))
    rows = _call(node, graph, static, ops.linear.default, (x, known))
    if width == 1:
        return _replaced(node, graph, ops.squeeze.dim, (rows, -1))
    return _replaced(node, graph, ops.transpose.int, (rows, -2, -1))


def _transposed(node: fx.Node) -> fx.Node | None:
    """Return what a value is the transpose of, along its last two axes, samples before them."""
    ndim = node.meta["val"].dim()
    if op_name(node) not in ORDERS or ndim < 3:
        return None
    swapped = [*range(ndim - 2), ndim - 1, ndim - 2]
    return arguments.node_of(node.args[0]) if order(node, ndim) == swapped else None


def _stacked(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read a stack as a concatenation along an axis of one place."""
    parts, dim = list(node.args[0]), int(arguments.complete(node)["dim"])  # type: ignore[arg-type]
    if any(part in static for part in parts):
        return node
    dim %= node.meta["val"].dim()
    write = partial(_call, node, graph, static, torch.ops.aten.unsqueeze.default)
    rows = [write((part, dim)) for part in parts]
    return _replaced(node, graph, torch.ops.aten.cat.default, (rows, dim))


def _attention(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read attention with the mask before it was spread over heads, and without groups."""
    mask = arguments.complete(node)["attn_mask"]
    if isinstance(mask, fx.Node) and mask not in static and mask.meta["val"].dim() == 4:
        write, heads = partial(_call, node, graph, static), mask.meta["val"].shape[1]
        thin = unspread(mask, heads, write) if isinstance(heads, int) else None
        if thin is not None:
            node.replace_input_with(mask, thin)
    return _ungrouped(node, graph, static)


def _masked_scores(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read mask + q·kᵀ as two calls, the mask as it was before it was spread over heads."""
    given, ops = arguments.complete(node), torch.ops.aten
    write = partial(_call, node, graph, static)
    mask, sizes = given["self"], list(node.meta["val"].shape[1:])
    samples = node.meta["val"].shape[0]
    if given["beta"] != 1 or given["alpha"] != 1:
        return node
    thin = None
    if isinstance(samples, torch.SymInt) and mask not in static:
        heads = int(samples.node.expr.as_coeff_Mul()[0])
        thin = unspread(mask, heads, write)
    scores = write(ops.bmm.default, (given["batch1"], given["batch2"]))
    if thin is None:
        return _replaced(node, graph, ops.add.Tensor, (scores, mask))
    masked = write(ops.add.Tensor, (write(ops.view.default, (scores, [-1, heads, *sizes])), thin))
    return _replaced(node, graph, ops.view.default, (masked, [-1, *sizes]))


def _ungrouped(node: fx.Node, graph: fx.Graph, static: Static) -> fx.Node:
    """Read attention of grouped queries as one with each key and value as often as it is used."""
    given, ops = arguments.complete(node), torch.ops.aten
    shared = {name: given[name] for name in ("key", "value")}
    if not given["enable_gqa"] or any(o in static for o in (given["query"], *shared.values())):
        return node
    heads = given["query"].meta["val"].shape[-3]
    for name, operand in shared.items():
        value = operand.meta["val"]
        args = operand, heads // value.shape[-3], value.dim() - 3
        given[name] = _call(node, graph, static, ops.repeat_interleave.self_int, args)
    order = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    args = tuple(given[name] for name in order)
    found = _replaced(node, graph, ops.scaled_dot_product_attention.default, args)
    found.kwargs = {"scale": given["scale"]}
    return found


def _call(
    node: fx.Node, graph: fx.Graph, static: Static, target: Any, args: tuple[Any, ...]
) -> fx.Node:
    """Write one more call in front of `node`; of known tensors it is one."""
    with graph.inserting_before(node):
        found = graph.call_function(target, args)
    found.meta["val"] = target(*fx.node.map_arg(args, lambda operand: operand.meta["val"]))
    fold(found, static)
    return found


def _replaced(node: fx.Node, graph: fx.Graph, target: Any, args: tuple[Any, ...]) -> fx.Node:
    with graph.inserting_before(node):
        found = graph.call_function(target, args)
    found.meta.update(node.meta)
    node.replace_all_uses_with(found)
    graph.erase_node(node)
    for operand in node.all_input_nodes:
        if op_name(operand) in _PIECES and not operand.users:
            graph.erase_node(operand)
    return found


_FORMS: dict[str, Callable[[fx.Node, fx.Graph, Static], fx.Node]] = {
    "getitem": _piece, "scaled_dot_product_attention": _attention, "einsum": _layer,
    "matmul": _product, "stack": _stacked, "baddbmm": _masked_scores,
}  # fmt: skip
