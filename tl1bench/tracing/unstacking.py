"""Recurrent layers on top of each other as one call a layer, before anything is analysed.

A call of torch runs several layers of equal width; what is left of them need not be equally wide.
In eval mode nothing lies between two layers, so that the calls one after another are the same.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import fx

from tl1bench.tracing.arguments import complete
from tl1bench.tracing.graph import op_name

RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def unstack(graph: fx.Graph) -> None:
    """Rewrite every call of several recurrent layers (in place)."""
    for node in list(graph.nodes):
        target = node.target
        if not isinstance(target, torch._ops.OpOverload) or op_name(node) not in RECURRENT:
            continue
        read = complete(node)
        if target._overloadname == "input" and read["num_layers"] > 1 and _is_plain(read):
            _unstack(node, read, graph)
            # States that nobody reads would tie the layers to each other.
            graph.eliminate_dead_code()


def _is_plain(read: dict[str, Any]) -> bool:
    """Whether nothing lies between two layers, and there are as many weights as these need."""
    each, rest = divmod(len(read["params"]), read["num_layers"] * (1 + read["bidirectional"]))
    usual = 4 if read["has_biases"] else 2
    return not (rest or (read["train"] and read["dropout"])) and each in (usual, usual + 1)


def _unstack(node: fx.Node, read: dict[str, Any], graph: fx.Graph) -> None:
    several = isinstance(read["hx"], (list, tuple))
    states, params = read["hx"] if several else [read["hx"]], read["params"]
    layers, both = read["num_layers"], 1 + bool(read["bidirectional"])
    each = len(params) // layers
    value, finals = read["input"], list[list[fx.Node]]()
    with graph.inserting_before(node):
        for layer in range(layers):
            own = [_rows(graph, s, layer * both, (layer + 1) * both) for s in states]
            weights = list(params[layer * each : (layer + 1) * each])
            call = graph.call_function(
                node.target,  # type: ignore[arg-type]
                (value, own if several else own[0], weights, read["has_biases"], 1, 0.0,
                 read["train"], read["bidirectional"], read["batch_first"]),
            )  # fmt: skip
            outputs, *ends = node.meta["val"]
            call.meta["val"] = (outputs, *(_first(end, both) for end in ends))
            value, *last = (_item(graph, call, place) for place in range(1 + len(states)))
            finals.append(last)
        for item in list(node.users):
            place = item.args[1]
            assert isinstance(place, int)
            if place == 0:
                item.replace_all_uses_with(value)
            else:
                _put(graph, item, [last[place - 1] for last in finals], both)
            graph.erase_node(item)
    graph.erase_node(node)


def _put(graph: fx.Graph, item: fx.Node, finals: Sequence[fx.Node], both: int) -> None:
    """Put the last states of single layers in the place of those of all layers."""
    for user in list(item.users):
        place = user.args[2] if len(user.args) == 3 and user.args[1] == 0 else None
        if user.target is torch.ops.aten.select.int and isinstance(place, int):
            place %= both * len(finals)
            user.args = (finals[place // both], 0, place % both)
    if item.users:
        whole = graph.call_function(torch.ops.aten.cat.default, (list(finals), 0))
        whole.meta["val"] = item.meta["val"]
        item.replace_all_uses_with(whole)


def _rows(graph: fx.Graph, state: fx.Node, start: int, stop: int) -> fx.Node:
    """Return the first states of one layer: those that another one ends with, where it is one."""
    joined = state.target is torch.ops.aten.cat.default and not state.kwargs
    if joined and state.args[1:] in ((), (0,)):
        parts: Any = state.args[0]
        sizes = [part.meta["val"].shape[0] for part in parts]
        if all(size == stop - start for size in sizes):
            own: fx.Node = parts[start // (stop - start)]
            return own
    if state.target is torch.ops.aten.zeros.default:
        sizes = [stop - start, *state.args[0][1:]]  # type: ignore[index, misc]
        found = graph.call_function(state.target, (sizes,), dict(state.kwargs))
    else:
        found = graph.call_function(torch.ops.aten.slice.Tensor, (state, 0, start, stop))
    found.meta["val"] = _first(state.meta["val"], stop - start)
    return found


def _item(graph: fx.Graph, call: fx.Node, place: int) -> fx.Node:
    found = graph.call_function(operator.getitem, (call, place))
    found.meta["val"] = call.meta["val"][place]
    return found


def _first(example: Any, count: int) -> Any:
    """Return the example value of so many states.

    They are cut out of those that the trace knows: to run a layer on example values would fix the
    batch size of them all.
    """
    with getattr(example, "fake_mode", nullcontext()):
        return torch.ops.aten.slice.Tensor(example, 0, 0, count)
