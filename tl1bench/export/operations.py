"""How each ATen operation of ordinary networks is written as ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import helper
from torch import fx

from tl1bench.export.moves import MOVES
from tl1bench.export.sequences import SEQUENCES
from tl1bench.export.writer import Unsupported, Writer
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules.ranges import SPLITS, range_of


def _pair(value: Any, count: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return [int(v) for v in (values * count if len(values) == 1 else values)]


def _conv(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    count = node.meta["val"].dim() - 2
    attributes: dict[str, Any] = {
        "strides": _pair(g["stride"], count),
        "dilations": _pair(g["dilation"], count),
        "group": g["groups"],
    }
    padding = g["padding"]
    if padding == "same":
        # The exporter's and torch's rule: an odd surplus goes to the far side.
        kernel = w.traced.static[g["weight"]].shape[2:] if g["weight"] in w.traced.static else None
        if kernel is None:
            raise Unsupported
        total = [d * (k - 1) for d, k in zip(attributes["dilations"], kernel, strict=True)]
        attributes["pads"] = [t // 2 for t in total] + [t - t // 2 for t in total]
    elif padding != "valid":
        attributes["pads"] = _pair(padding, count) * 2
    bias = [] if g["bias"] is None else [w.name(g["bias"])]
    w.emit(node, "Conv", [w.name(g["input"]), w.name(g["weight"]), *bias], **attributes)


def _linear(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    if node.meta["val"].dim() != 2:
        _product(w, node)
        return
    bias = [] if g["bias"] is None else [w.name(g["bias"])]
    w.emit(node, "Gemm", [w.name(g["input"]), w.name(g["weight"]), *bias], transB=1)


def _product(w: Writer, node: fx.Node) -> None:
    """Write a linear layer over several positions: Gemm takes but matrices."""
    g = complete(node)
    weight = g["weight"]
    if weight not in w.traced.stored or w.traced.is_shared(weight):
        raise Unsupported
    turned = w.constant(w.traced.names.get(weight, weight.name), w.traced.static[weight].t())
    if g["bias"] is None:
        w.emit(node, "MatMul", [w.name(g["input"]), turned])
        return
    product = f"{node.name}_product"
    w.nodes.append(helper.make_node("MatMul", [w.name(g["input"]), turned], [product], product))
    w.emit(node, "Add", [product, w.name(g["bias"])])


def _norm(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    if g.get("training") or g["weight"] is None or g["bias"] is None:
        raise Unsupported
    operands = [g["input"], g["weight"], g["bias"], g["running_mean"], g["running_var"]]
    w.emit(node, "BatchNormalization", [w.name(o) for o in operands], epsilon=float(g["eps"]))


def _pool(kind: str) -> Callable[[Writer, fx.Node], None]:
    def write(w: Writer, node: fx.Node) -> None:
        g, count = complete(node), node.meta["val"].dim() - 2
        if g.get("ceil_mode") or g.get("divisor_override") is not None:
            raise Unsupported
        kernel = _pair(g["kernel_size"], count)
        attributes: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": _pair(g["stride"], count) if g["stride"] else kernel,
            "pads": _pair(g["padding"], count) * 2,
        }
        if kind == "MaxPool":
            attributes["dilations"] = _pair(g["dilation"], count)
        else:
            attributes["count_include_pad"] = int(g["count_include_pad"])
        w.emit(node, kind, [w.name(g["self"])], **attributes)

    return write


def _adaptive(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    if any(int(s) != 1 for s in g["output_size"]):
        raise Unsupported
    w.emit(node, "GlobalAveragePool", [w.name(g["self"])])


def _mean(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    if not g.get("dim") or g.get("dtype") is not None:
        raise Unsupported
    axes = w.integers([int(d) for d in g["dim"]])
    w.emit(node, "ReduceMean", [w.name(g["self"]), axes], keepdims=int(bool(g["keepdim"])))


def _binary(kind: str) -> Callable[[Writer, fx.Node], None]:
    def write(w: Writer, node: fx.Node) -> None:
        g = complete(node)
        if g.get("alpha", 1) != 1 or g.get("rounding_mode") is not None:
            raise Unsupported
        kinds = {a.meta["val"].dtype for a in (g["self"], g["other"]) if isinstance(a, fx.Node)} | {
            node.meta["val"].dtype
        }
        if len(kinds) > 1:
            raise Unsupported
        w.emit(node, kind, [w.operand(g["self"], node), w.operand(g["other"], node)])

    return write


def _unary(kind: str, *options: str, **fixed: Any) -> Callable[[Writer, fx.Node], None]:
    def write(w: Writer, node: fx.Node) -> None:
        g = complete(node)
        w.emit(node, kind, [w.name(node.args[0])], **{o: float(g[o]) for o in options}, **fixed)

    return write


def _leaky(w: Writer, node: fx.Node) -> None:
    w.emit(node, "LeakyRelu", [w.name(node.args[0])], alpha=float(complete(node)["negative_slope"]))


def _clip(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    low, high = g.get("min_val", g.get("min", 0.0)), g.get("max_val", g.get("max", 6.0))
    bounds = ["" if v is None else w.operand(float(v), node) for v in (low, high)]
    w.emit(node, "Clip", [w.name(node.args[0]), *bounds])


def _silu(w: Writer, node: fx.Node) -> None:
    source = w.name(node.args[0])
    gate = f"{node.name}_gate"
    w.nodes.append(helper.make_node("Sigmoid", [source], [gate], name=gate))
    w.emit(node, "Mul", [source, gate])


def _same(w: Writer, node: fx.Node) -> None:
    if "dropout" in op_name(node) and node.args[2] is not False:
        raise Unsupported
    w.names[node] = w.name(node.args[0])


def _cat(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    w.emit(node, "Concat", [w.name(t) for t in g["tensors"]], axis=int(g["dim"]))


def _slice(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    parts = [g["start"] or 0, 2**63 - 1 if g["end"] is None else g["end"]]
    if not all(isinstance(p, int) for p in parts):
        raise Unsupported
    values = [parts[0], min(parts[1], 2**63 - 1), g["dim"], g["step"]]
    start, stop, axis, step = (w.integers([int(v)]) for v in values)
    w.emit(node, "Slice", [w.name(g["self"]), start, stop, axis, step])


def item(w: Writer, node: fx.Node) -> None:
    """Write a piece of a split as a slice; the first result of a BatchNorm is the BatchNorm."""
    owner = node.args[0]
    if op_name(node) != "getitem" or not isinstance(owner, fx.Node):
        raise Unsupported
    if node in w.names:  # by who has several results
        return
    found = range_of(node) if op_name(owner) in SPLITS else None
    if found is not None:
        ends = [w.integers([v]) for v in (found.start, found.stop, found.dim, found.step)]
        w.emit(node, "Slice", [w.name(found.source), *ends])
    elif node.args[1] == 0:
        w.names[node] = w.name(owner)
    else:
        raise Unsupported


def _gather(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    w.emit(node, "Gather", [w.name(g["self"]), w.name(g["index"])], axis=int(g["dim"]))


def _pad(w: Writer, node: fx.Node) -> None:
    g, count = complete(node), node.meta["val"].dim()
    if g.get("mode", "constant") != "constant" or not all(isinstance(p, int) for p in g["pad"]):
        raise Unsupported
    pairs = list(g["pad"])
    # torch lists (before, behind) from the last dimension on; ONNX all befores, then all behinds.
    pairs += [0] * (2 * count - len(pairs))
    ends = [*pairs[0::2][::-1], *pairs[1::2][::-1]]
    value = w.operand(float(g["value"] or 0), node)
    w.emit(node, "Pad", [w.name(g["self"]), w.integers(ends), value])


def _softmax(w: Writer, node: fx.Node) -> None:
    g = complete(node)
    kind = "LogSoftmax" if "log" in op_name(node) else "Softmax"
    if g.get("dtype") is not None or g.get("half_to_float"):
        raise Unsupported
    w.emit(node, kind, [w.name(g["self"])], axis=int(g["dim"]))


OPERATIONS: dict[str, Callable[[Writer, fx.Node], None]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "linear": _linear,
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _norm),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _pool("MaxPool")),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool("AveragePool")),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool1d"), _adaptive),
    "mean": _mean,
    **MOVES, **SEQUENCES,
    "add": _binary("Add"), "sub": _binary("Sub"), "mul": _binary("Mul"), "div": _binary("Div"),
    "relu": _unary("Relu"), "sigmoid": _unary("Sigmoid"), "tanh": _unary("Tanh"),
    "elu": _unary("Elu", "alpha"), "leaky_relu": _leaky, "hardswish": _unary("HardSwish"),
    "hardsigmoid": _unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hardtanh": _clip, "clamp": _clip, "relu6": _clip, "silu": _silu,
    **dict.fromkeys(("dropout", "contiguous", "alias", "detach", "clone"), _same),
    "cat": _cat, "slice": _slice, "index_select": _gather,
    "constant_pad_nd": _pad, "pad": _pad,
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "_log_softmax"), _softmax),
}  # fmt: skip
