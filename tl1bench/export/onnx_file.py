"""Network → one ONNX file with a free batch size, checked against torch by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from tl1bench.errors import CompactionError, ExportError
from tl1bench.export import check
from tl1bench.export.by_torch import by_torch
from tl1bench.export.direct import write_graph
from tl1bench.export.int8 import calibration_examples, quantised
from tl1bench.export.outputs import named_outputs, outputs
from tl1bench.files import write_bytes
from tl1bench.runtime import onnx_file
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.capture import trace

_WRITERS = ("direct", "torch")


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    `writer` is "direct" (our own, milliseconds) or "torch" (`torch.onnx.export`);
    `flushed_denormals` counts weights below the smallest normal number that became 0;
    `max_rel_difference` is max |onnx − torch| / max(1, max |torch|) over batches of 1 and 7.
    `precision` is "float32" (the network's own type) or "int8"; then `agreement` is the share of
    calibration examples whose predicted class, the largest number of the first output, is torch's.
    """

    path: Path
    size_bytes: int
    opset: int
    writer: str
    flushed_denormals: int
    max_rel_difference: float
    precision: str = "float32"
    agreement: float | None = None


def export_onnx(
    model: nn.Module,
    args: Tensor | tuple[Tensor, ...],
    path: str | Path,
    *,
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
        dimension `batch`.
    path
        Where the file goes.
    input_names, output_names
        `x` and `y` unless given, further ones `x1`, `y1` …; outputs in mappings have their keys as
        names.
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
    inputs, name = as_tuple(args), type(model).__name__
    if writer is not None and writer not in _WRITERS:
        raise ExportError(f"Unknown writer {writer!r}: it is one of {', '.join(_WRITERS)}.")
    examples = calibration_examples(precision, calibration, inputs)
    expected = [check.expected(model, inputs, size) for size in check.BATCHES]
    sources = _names(input_names, "x", len(inputs))
    allowed = check.allowed(expected[0])
    keys = [key for key, _ in named_outputs(model, inputs)]
    own = [f"y_{key}" if key in sources else key for key in keys]
    targets = _names(output_names or (own if all(own) else None), "y", len(expected[0]))
    proto, used = _written(model, inputs, sources, targets, writer)
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
        share = _agreement(model, content, sources, examples)
    write_bytes(Path(path), content)
    opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    return ExportReport(
        Path(path), len(content), opset, used, flushed, difference, precision, share
    )


def _written(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    sources: list[str],
    targets: list[str],
    writer: str | None,
) -> tuple[onnx.ModelProto, str]:
    """Return the model and which writer made it."""
    proto = None
    if writer != "torch":
        try:
            proto = write_graph(trace(model, inputs), sources, targets)
        except CompactionError as error:
            if writer == "direct":
                raise ExportError(str(error)) from error
    if proto is not None:
        return proto, "direct"
    if writer == "direct":
        raise ExportError(f"{type(model).__name__} has an operation without a direct form.")
    return by_torch(model, inputs, sources, targets), "torch"


def _agreement(
    model: nn.Module, content: bytes, sources: Sequence[str], examples: tuple[Tensor, ...]
) -> float:
    """Return the share of examples whose predicted class stayed the same."""
    found = check.run(content, sources, examples)
    (wanted, *_) = outputs(model, examples)
    return float((found.argmax(-1) == wanted.cpu().numpy().argmax(-1)).mean())


def accuracy(path: str | Path, x: Tensor | tuple[Tensor, ...], y: Tensor) -> float:
    """Return the share of examples `x` that the ONNX file `path` puts into their class `y`.

    The class is the largest number of the first output.

    Parameters
    ----------
    path
        An ONNX file.
    x
        (example, …), one tensor an input.
    y
        (example,) class numbers.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ExportError
        There is no such file, it asks for more than a network may, or cannot be run on `x`.
    """
    if not Path(path).exists():
        raise ExportError(f"{path} is not there: write it by export_onnx.")
    inputs = as_tuple(x)
    try:
        model, content, beside = onnx_file.read(Path(path))
    except (ValueError, OSError) as error:
        raise ExportError(f"{path} {error}.") from error
    if beside:
        raise ExportError(f"{path} keeps weights in {beside[0].name}: save them inside the model.")
    sources = [value.name for value in model.graph.input]
    if len(sources) != len(inputs) or len(inputs[0]) != len(y) or not len(y):
        raise ExportError(
            f"{path} takes {len(sources)} inputs, and every example needs a label; "
            f"{len(inputs)} inputs of {len(inputs[0])} examples with {len(y)} labels were given."
        )
    found = check.run(content, sources, inputs)
    return float((found.argmax(-1) == y.cpu().numpy()).mean())


def _names(given: Sequence[str] | None, stem: str, count: int) -> list[str]:
    names = list(given) if given else [stem, *(f"{stem}{i}" for i in range(1, count))]
    if len(names) != count or len(set(names)) != count:
        raise ExportError(f"{count} different names are needed for {stem}, not {names}.")
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
