"""A traced network written straight to ONNX: milliseconds where the general exporter takes seconds.

Covers the operations of ordinary convolutional, recurrent and fully connected networks.
`write_graph` returns None as soon as it meets another one; `onnx_file` then falls back on torch's
exporter.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import torch
from torch import fx

from tl1bench.export.operations import OPERATIONS, item
from tl1bench.export.writer import Unsupported, Writer
from tl1bench.tracing.graph import Traced, op_name
from tl1bench.tracing.rules.ranges import SPLITS
from tl1bench.tracing.zeros import is_zero


def write_graph(
    traced: Traced, input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto | None:
    """Return the model, or None when it holds something that is not written here.

    Parameters
    ----------
    traced
        The network.
    input_names, output_names
        One a tensor.

    Returns
    -------
    ModelProto or None
        With the free dimension `batch`.
    """
    try:
        return _written(traced, input_names, output_names)
    except (Unsupported, UnicodeEncodeError):  # protobuf holds no half of a surrogate pair
        return None


def _written(
    traced: Traced, input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    outputs = [o for o in traced.outputs if o is not None]
    if any(not isinstance(o, fx.Node) or o in traced.static for o in outputs):
        raise Unsupported
    writer = Writer(traced, [*input_names, *output_names])
    writer.names.update(zip(traced.inputs, input_names, strict=True))
    for node in traced.written_calls:
        if isinstance(node.meta.get("val"), torch.SymInt) or op_name(node) in SPLITS:
            continue
        if node not in traced.static and is_zero(node, traced.static):
            continue  # written by none but who can leave it out
        rule = OPERATIONS.get(op_name(node))
        if rule is None or not isinstance(node.target, torch._ops.OpOverload):
            item(writer, node)
        else:
            rule(writer, node)
    return writer.close(input_names, output_names)
