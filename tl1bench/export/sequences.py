"""How recurrent layers and tables of vectors are written as ONNX: one node each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnx import helper
from torch import Tensor, fx

from tl1bench.export.writer import Unsupported, Writer
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.zeros import is_zero

# ONNX's operator, and where its gates (i o f c; z r h) are among torch's (i f g o; r z n).
_KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "lstm": ("LSTM", (0, 3, 1, 2)),
    "gru": ("GRU", (1, 0, 2)),
    "rnn_tanh": ("RNN", (0,)),
    "rnn_relu": ("RNN", (0,)),
}


def _recurrent(w: Writer, node: fx.Node) -> None:
    """Write one layer; ONNX has none with projections."""
    g, (kind, order) = complete(node), _KINDS[op_name(node)]
    ways = 1 + bool(g.get("bidirectional"))
    if not _is_plain(w, g, ways):
        raise Unsupported
    weights = [_stacked(w, g["params"], place, ways, order) for place in range(2)]
    biases = ""
    if g["has_biases"]:
        both = [_gates(w, g["params"], place, ways, order) for place in (2, 3)]
        biases = w.constant(f"{node.name}_biases", torch.cat(both, dim=1))
    starts = list(g["hx"]) if isinstance(g["hx"], (list, tuple)) else [g["hx"]]
    first = ["" if is_zero(s, w.traced.static) else w.name(s) for s in starts]
    source, steps = w.name(g["input"]), f"{node.name}_steps"
    if g["batch_first"]:
        _add(w, "Transpose", [source], steps, perm=[1, 0, 2])
        source = steps
    width = w.traced.static[g["params"][1]].shape[1]
    options: dict[str, Any] = {
        "hidden_size": width,
        "direction": "bidirectional" if ways > 1 else "forward",
    }
    if kind == "GRU":
        options["linear_before_reset"] = 1
    if kind == "RNN":
        options["activations"] = ["Relu" if "relu" in op_name(node) else "Tanh"] * ways
    results = [f"{node.name}_{place}" for place in range(1 + len(starts))]
    inputs = [source, *weights, biases, "", *first]
    w.nodes.append(helper.make_node(kind, inputs, results, name=node.name, **options))
    # (step, direction, sample, unit) becomes torch's order of axes.
    axes = [2, 0, 1, 3] if g["batch_first"] else [0, 2, 1, 3]
    turned, flat = f"{node.name}_turned", f"{node.name}_outputs"
    _add(w, "Transpose", [results[0]], turned, perm=axes)
    _add(w, "Reshape", [turned, w.integers([0, 0, ways * width])], flat)
    for item in node.users:
        place = item.args[1]
        assert isinstance(place, int)
        w.names[item] = results[place] if place else flat


def _is_plain(w: Writer, g: dict[str, Any], ways: int) -> bool:
    """Whether it is one layer without projections, whose weights nothing else reads."""
    if "batch_first" not in g or g["num_layers"] != 1 or g["train"]:
        return False
    if len(g["params"]) != ways * (4 if g["has_biases"] else 2):
        return False
    traced = w.traced
    known = all(p in traced.stored and not traced.is_shared(p) for p in g["params"])
    return known and g["input"].meta["val"].dim() == 3


def _stacked(
    w: Writer, params: list[fx.Node], place: int, ways: int, order: tuple[int, ...]
) -> str:
    return w.constant(w.traced.names[params[place]], _gates(w, params, place, ways, order))


def _gates(
    w: Writer, params: list[fx.Node], place: int, ways: int, order: tuple[int, ...]
) -> Tensor:
    """Return the weights at `place` of each direction, gates in ONNX's order: (direction, …)."""
    each = len(params) // ways
    own = [w.traced.static[params[way * each + place]] for way in range(ways)]
    return torch.stack([t.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1) for t in own])


def _add(w: Writer, kind: str, inputs: list[str], name: str, **attributes: Any) -> None:
    w.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))


def _embedding(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    if g["indices"].meta["val"].dtype != torch.int64:
        raise Unsupported
    w.emit(node, "Gather", [w.name(g["weight"]), w.name(g["indices"])], axis=0)


def _flip(w: Writer, node: fx.Node) -> None:
    """Write a slice from the last position to the first."""
    axes = [int(axis) for axis in complete(node)["dims"]]
    ends = [[value] * len(axes) for value in (-1, -(2**63) + 1)]
    start, stop, step = (w.integers(values) for values in (*ends, [-1] * len(axes)))
    w.emit(node, "Slice", [w.name(node.args[0]), start, stop, w.integers(axes), step])


SEQUENCES: dict[str, Callable[[Writer, fx.Node], None]] = {
    **dict.fromkeys(_KINDS, _recurrent),
    "embedding": _embedding, "flip": _flip,
}  # fmt: skip
