"""Calls in the form that most networks use: pieces, layers written as einsum, grouped queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from tl1bench.tracing import arguments
from tl1bench.tracing.graph import op_name

_PIECES = ("split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unbind")


def usual(node: fx.Node, graph: fx.Graph, static: Mapping[fx.Node, Tensor]) -> fx.Node:
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
    if op_name(node) == "getitem":
        return _piece(node, graph, static)
    if op_name(node) == "scaled_dot_product_attention":
        return _ungrouped(node, graph, static)
    return _layer(node, graph, static) if op_name(node) == "einsum" else node


def _piece(node: fx.Node, graph: fx.Graph, static: Mapping[fx.Node, Tensor]) -> fx.Node:
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


def _layer(node: fx.Node, graph: fx.Graph, static: Mapping[fx.Node, Tensor]) -> fx.Node:
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


def _ungrouped(node: fx.Node, graph: fx.Graph, static: Mapping[fx.Node, Tensor]) -> fx.Node:
    """Read attention of grouped queries as one with each key and value as often as it is used."""
    given, ops = arguments.complete(node), torch.ops.aten
    shared = {name: given[name] for name in ("key", "value")}
    if not given["enable_gqa"] or any(o in static for o in (given["query"], *shared.values())):
        return node
    heads = given["query"].meta["val"].shape[-3]
    for name, operand in shared.items():
        value = operand.meta["val"]
        args = heads // value.shape[-3], value.dim() - 3
        with graph.inserting_before(node):
            given[name] = graph.call_function(ops.repeat_interleave.self_int, (operand, *args))
        given[name].meta["val"] = value.repeat_interleave(*args)
    order = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    args = tuple(given[name] for name in order)
    found = _replaced(node, graph, ops.scaled_dot_product_attention.default, args)
    found.kwargs = {"scale": given["scale"]}
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
