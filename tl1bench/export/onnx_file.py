"""Network → one ONNX file with a free batch size, checked against torch by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from tl1bench.errors import CompactionError, ExportError
from tl1bench.export import check
from tl1bench.export.by_torch import by_torch
from tl1bench.export.direct import write_graph
from tl1bench.export.int8 import calibration_examples, quantised
from tl1bench.export.outputs import named_outputs
from tl1bench.export.predicting import share_kept
from tl1bench.files import write_bytes
from tl1bench.tracing.capture import bare, trace
from tl1bench.tracing.graph import Traced
from tl1bench.tracing.inputs import Inputs

_WRITERS = ("direct", "torch")


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    `writer` is "direct" (our own, milliseconds) or "torch" (`torch.onnx.export`);
    `flushed_denormals` counts weights below the smallest normal number that became 0;
    `max_rel_difference` is max |onnx − torch| / max(1, max |torch|) over batches of 1 and 7.
    `precision` is "float32" (the network's own type) or "int8"; then `agreement` is the share of
    calibration examples whose predicted class, the largest number of the first output, is torch's.
    `fixed_batch` is the only batch size that the file takes; None for all that take any.
    """

    path: Path
    size_bytes: int
    opset: int
    writer: str
    flushed_denormals: int
    max_rel_difference: float
    precision: str = "float32"
    agreement: float | None = None
    fixed_batch: int | None = None


def export_onnx(
    model: nn.Module,
    args: Tensor | Mapping[str, Any] | Sequence[Any],
    path: str | Path,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    writer: str | None = None,
    precision: str = "float32",
    calibration: Tensor | tuple[Tensor, ...] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ExportReport:
    """Write `model` in eval mode to one file `path`; the model itself stays as it is.

    A network of ordinary layers is written directly, anything else by `torch.onnx.export`
    (seconds). Denormal weights become zero. With `precision="int8"` the float32 file is made and
    checked first, then quantised with the ranges seen over `calibration`. That is no longer the
    same function: look at the report's `agreement`, and at `accuracy` on labelled data.

    Parameters
    ----------
    model
        Any network that returns tensors: one, or tuples, lists and mappings of them.
    args
        Example inputs with a batch of at least 2 in their first dimension, which becomes the free
        dimension `batch` unless the network fixes it. Lists, tuples and dicts of tensors become one
        input a tensor; None, numbers and texts are constants of the file.
    path
        Where the file goes.
    kwargs
        Arguments by name.
    dynamic_shapes
        Sizes that are free besides that of the batch, as `torch.export` takes them; free in the
        file, too.
    input_names, output_names
        `x` and `y` unless given, further ones `x1`, `y1` …; what has names of its own, as arguments
        by name and values in dicts do, keeps them.
    writer
        "direct" or "torch" to insist on one.
    precision
        "float32" (the network's own type) or "int8".
    calibration
        For int8: some hundred examples like those that the network will meet.
    metadata
        Texts that the file carries along, by key.

    Returns
    -------
    ExportReport
        What was written.

    Raises
    ------
    ExportError
        When the network cannot be traced or written, or the file computes something else.
    """
    name = type(model).__name__
    if writer is not None and writer not in _WRITERS:
        raise ExportError(f"Unknown writer {writer!r}: it is one of {', '.join(_WRITERS)}.")
    try:
        inputs = Inputs.of(args, kwargs).sized(bare(model), dynamic_shapes)
    except CompactionError as error:
        raise ExportError(str(error)) from error
    inputs, traced = _traced(model, inputs, writer)
    examples = calibration_examples(precision, calibration, inputs.tensors)
    expected = check.expected(model, inputs)
    sources = _names(input_names, "x", [key for key, _ in inputs.named])
    allowed = check.allowed(expected[0])
    keys = [key for key, _ in named_outputs(model, inputs)]
    targets = _names(output_names, "y", [f"y_{key}" if key in sources else key for key in keys])
    proto, used = _written(model, inputs, traced, sources, targets, writer)
    flushed = _clean(proto)
    onnx.helper.set_model_props(proto, dict(metadata or {}))
    content = check.checked(proto, name)
    difference = check.compare(content, inputs, expected, sources)
    if not difference <= allowed:
        raise ExportError(
            f"The ONNX form of {name} differs from torch by {difference:.1e} "
            f"(allowed {allowed:g}); nothing was written to {path}."
        )
    share = None
    if examples is not None:
        proto = quantised(proto, sources, examples)
        _clean(proto)
        onnx.helper.set_model_props(proto, dict(metadata or {}))
        content = check.checked(proto, name)
        difference = check.compare(content, inputs, expected, sources)
        if not np.isfinite(difference):
            raise ExportError(f"In 8 bits {name} gives no finite numbers.")
        share = share_kept(model, content, sources, examples)
    write_bytes(Path(path), content)
    opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    return ExportReport(
        Path(path), len(content), opset, used, flushed, difference, precision, share,
        None if inputs.free else inputs.size,
    )  # fmt: skip


def _traced(model: nn.Module, inputs: Inputs, writer: str | None) -> tuple[Inputs, Traced | None]:
    """Return the inputs, with a batch as free as the network has it, and its graph."""
    try:
        traced = trace(model, inputs)
    except CompactionError as error:
        if writer == "direct":
            raise ExportError(str(error)) from error
        return inputs, None  # torch's exporter may take what is no pure function
    return (inputs if traced.fixed_batch is None else inputs.fixed()), traced


def _written(
    model: nn.Module,
    inputs: Inputs,
    traced: Traced | None,
    sources: list[str],
    targets: list[str],
    writer: str | None,
) -> tuple[onnx.ModelProto, str]:
    """Return the model and which writer made it."""
    proto = None
    if writer != "torch" and traced is not None:
        proto = write_graph(traced, sources, targets)
    if proto is not None:
        return proto, "direct"
    if writer == "direct":
        raise ExportError(f"{type(model).__name__} has an operation without a direct form.")
    return by_torch(model, inputs, sources, targets), "torch"


def _names(given: Sequence[str] | None, stem: str, keys: Sequence[str]) -> list[str]:
    """Return the given names; otherwise the keys, where all have one; else `x`, `x1` and so on."""
    numbered = [stem, *(f"{stem}{i}" for i in range(1, len(keys)))]
    names = list(given or (keys if all(keys) and len(set(keys)) == len(keys) else numbered))
    if len(names) != len(keys) or len(set(names)) != len(keys):
        raise ExportError(f"{len(keys)} different names are needed for {stem}, not {names}.")
    return names


def _clean(proto: onnx.ModelProto) -> int:
    """Drop traces of the exporter, flush denormal weights; return how many there were."""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    flushed = 0
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
        if tensor.data_type not in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16):
            continue
        values = numpy_helper.to_array(tensor)
        small = (values != 0) & (np.abs(values) < np.finfo(values.dtype).tiny)
        if small.any():
            flushed += int(small.sum())
            name = tensor.name
            tensor.CopyFrom(
                numpy_helper.from_array(np.where(small, 0, values).astype(values.dtype), name)
            )
    return flushed
