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
    """Write one layer.

    ONNX has none with projections: h = P·ĥ is read as W_hh·h = (W_hh·P)·ĥ, and P is written behind.
    """
    g, ways = complete(node), 1 + bool(complete(node).get("bidirectional"))
    if not _is_plain(w, g, ways):
        raise Unsupported
    projection = _projection(w, g, ways)
    again = _gates(w, node, g["params"], 1)
    if projection is not None:
        again = (again.double() @ projection.double()).to(again.dtype)
    starts = list(g["hx"]) if isinstance(g["hx"], (list, tuple)) else [g["hx"]]
    first = ["" if is_zero(s, w.traced.static) else w.name(s) for s in starts]
    if projection is not None and first[0]:
        raise Unsupported
    source = w.name(g["input"])
    if g["batch_first"]:
        source = _add(w, "Transpose", [source], f"{node.name}_steps", perm=[1, 0, 2])
    names = [w.traced.names.get(weight, weight.name) for weight in g["params"][:2]]
    inputs = [
        source,
        w.constant(names[0], _gates(w, node, g["params"], 0)),
        w.constant(names[1], again),
        _biases(w, node, g),
        "",
        *first,
    ]
    results = [f"{node.name}_{place}" for place in range(1 + len(starts))]
    used: set[Any] = {item.args[1] for item in node.users if item.users}
    options = _options(op_name(node), ways)
    w.nodes.append(
        helper.make_node(
            _KINDS[op_name(node)][0], inputs, results, name=node.name,
            hidden_size=again.shape[2], **options,
        )
    )  # fmt: skip
    if projection is not None:
        last = w.constant(f"{node.name}_projection", projection.transpose(1, 2))
        for place in used & {0, 1}:
            own = [results[place], last]
            results[place] = _add(w, "MatMul", own, f"{results[place]}_projected")
    _name_results(w, node, results, g["batch_first"])


def _options(name: str, ways: int) -> dict[str, Any]:
    """Return what the operator of a kind of layer needs besides its width."""
    found: dict[str, Any] = {"direction": "bidirectional" if ways > 1 else "forward"}
    if name == "gru":
        found["linear_before_reset"] = 1
    if name.startswith("rnn"):
        found["activations"] = ["Relu" if name == "rnn_relu" else "Tanh"] * ways
    return found


def _biases(w: Writer, node: fx.Node, g: dict[str, Any]) -> str:
    if not g["has_biases"]:
        return ""
    both = [_gates(w, node, g["params"], place) for place in (2, 3)]
    return w.constant(f"{node.name}_biases", torch.cat(both, dim=1))


def _name_results(w: Writer, node: fx.Node, results: list[str], batch_first: bool) -> None:
    """Bring outputs (step, direction, sample, unit) into torch's order of axes; name all."""
    for item in node.users:
        place = item.args[1]
        assert isinstance(place, int)
        w.names[item] = results[place]
        if place == 0 and item.users:
            axes = [2, 0, 1, 3] if batch_first else [0, 2, 1, 3]
            turned = _add(w, "Transpose", [results[0]], f"{node.name}_turned", perm=axes)
            sizes = w.integers([0, 0, int(item.meta["val"].shape[2])])
            w.names[item] = _add(w, "Reshape", [turned, sizes], f"{node.name}_outputs")


def _is_plain(w: Writer, g: dict[str, Any], ways: int) -> bool:
    """Whether it is one layer whose weights nothing else reads."""
    if "batch_first" not in g or g["num_layers"] != 1 or g["train"]:
        return False
    each, rest = divmod(len(g["params"]), ways)
    if rest or each - (4 if g["has_biases"] else 2) not in (0, 1):
        return False
    traced = w.traced
    known = all(p in traced.stored and not traced.is_shared(p) for p in g["params"])
    return known and g["input"].meta["val"].dim() == 3


def _projection(w: Writer, g: dict[str, Any], ways: int) -> Tensor | None:
    """Return the projections of all directions, (direction, output, unit)."""
    each, usual = len(g["params"]) // ways, 4 if g["has_biases"] else 2
    if each == usual:
        return None
    return torch.stack([w.traced.static[g["params"][way * each + usual]] for way in range(ways)])


def _gates(w: Writer, node: fx.Node, params: list[fx.Node], place: int) -> Tensor:
    """Return the weights at `place` of each direction, gates in ONNX's order: (direction, …)."""
    ways = 1 + bool(complete(node)["bidirectional"])
    each, order = len(params) // ways, _KINDS[op_name(node)][1]
    own = [w.traced.static[params[way * each + place]] for way in range(ways)]
    return torch.stack([t.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1) for t in own])


def _add(w: Writer, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
    w.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


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
