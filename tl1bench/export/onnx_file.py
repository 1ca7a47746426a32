"""Network → one ONNX file with a free batch size, checked against torch by onnxruntime."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from tl1bench.errors import CompactionError, ExportError
from tl1bench.export.int8 import quantise
from tl1bench.export.writer import OPSET, write_graph
from tl1bench.files import write_bytes
from tl1bench.tracing.arguments import as_tuple
from tl1bench.tracing.capture import evaluating, trace

BATCHES = (1, 7)
TOLERANCE = 1e-4
_WRITERS = ("direct", "torch")
_PRECISIONS = ("float32", "int8")
_CHUNK = 64


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
) -> ExportReport:
    """Write `model` in eval mode to one file `path`; the model itself stays as it is.

    `args` are example inputs with a batch of at least 2 in their first dimension, which becomes the
    free dimension `batch`. Names are `x` and `y`, further ones `x1`, `y1` …. A network of ordinary
    layers is written directly, anything else by `torch.onnx.export` (seconds); `writer` insists on
    "direct" or "torch". Denormal weights become zero.

    With `precision="int8"` the float32 file is made and checked first, then quantised with ranges
    seen over `calibration`, some hundred examples like those that the network will meet. That is no
    longer the same function: look at the report's `agreement`, and at `accuracy` on labelled data.

    Raises
    ------
    ExportError
        When the network cannot be traced or written, or the file computes something else.
    """
    inputs = as_tuple(args)
    if writer is not None and writer not in _WRITERS:
        raise ExportError(f"Unknown writer {writer!r}: it is one of {', '.join(_WRITERS)}.")
    if precision not in _PRECISIONS:
        raise ExportError(f"Unknown precision {precision!r}: one of {', '.join(_PRECISIONS)}.")
    examples = _calibration(precision, calibration, inputs)
    expected = [_expected(model, inputs, size) for size in BATCHES]
    sources = _names(input_names, "x", len(inputs))
    targets = _names(output_names, "y", len(expected[0]))
    proto, used = None, "direct"
    if writer != "torch":
        try:
            proto = write_graph(trace(model, inputs), sources, targets)
        except CompactionError as error:
            if writer == "direct":
                raise ExportError(str(error)) from error
    if proto is None:
        if writer == "direct":
            raise ExportError(f"{type(model).__name__} has an operation without a direct form.")
        proto, used = _by_torch(model, inputs, sources, targets), "torch"
    flushed = _clean(proto)
    content = _checked(proto, type(model).__name__)
    difference = _compare(content, inputs, expected, sources)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The ONNX form of {type(model).__name__} differs from torch by {difference:.1e} "
            f"(allowed {TOLERANCE:g}); nothing was written to {path}."
        )
    agreement = None
    if examples is not None:
        proto = _quantised(proto, sources, examples)
        _clean(proto)
        content = _checked(proto, type(model).__name__)
        difference = _compare(content, inputs, expected, sources)
        if not np.isfinite(difference):
            raise ExportError(f"In 8 bits {type(model).__name__} gives no finite numbers.")
        found = _run(content, sources, examples)
        (wanted, *_) = _outputs(model, examples)
        agreement = float((found.argmax(-1) == wanted.cpu().numpy().argmax(-1)).mean())
    write_bytes(Path(path), content)
    opset = max(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    return ExportReport(
        Path(path), len(content), opset, used, flushed, difference, precision, agreement
    )


def accuracy(path: str | Path, x: Tensor | tuple[Tensor, ...], y: Tensor) -> float:
    """Return the share of examples `x` that the ONNX file `path` puts into their class `y`.

    The class is the largest number of the first output.

    Raises
    ------
    ExportError
        When there is no such file, or onnxruntime cannot run it on `x`.
    """
    if not Path(path).is_file():
        raise ExportError(f"{path} is not there: write it by export_onnx.")
    inputs = as_tuple(x)
    content = Path(path).read_bytes()
    sources = [value.name for value in onnx.load_from_string(content).graph.input]
    if len(sources) != len(inputs) or len(inputs[0]) != len(y) or not len(y):
        raise ExportError(
            f"{path} takes {len(sources)} inputs, and every example needs a label; "
            f"{len(inputs)} inputs of {len(inputs[0])} examples with {len(y)} labels were given."
        )
    found = _run(content, sources, inputs)
    return float((found.argmax(-1) == y.cpu().numpy()).mean())


def _checked(proto: onnx.ModelProto, name: str) -> bytes:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{name} became an invalid ONNX file ({error}).") from error
    content: bytes = proto.SerializeToString()
    return content


def _calibration(
    precision: str, calibration: Tensor | tuple[Tensor, ...] | None, inputs: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """Return the examples to calibrate with; None for float32."""
    if precision == "float32":
        if calibration is not None:
            raise ExportError('Calibration data are for precision="int8" only.')
        return None
    if calibration is None:
        raise ExportError("int8 needs calibration data: calibration=x, some hundred examples.")
    examples = as_tuple(calibration)
    shapes = [(x.shape[1:], x.dtype) for x in examples]
    if shapes != [(x.shape[1:], x.dtype) for x in inputs] or not len(examples[0]):
        raise ExportError("The calibration data must look like the example inputs.")
    if any(x.dtype == torch.float64 for x in inputs):
        raise ExportError("int8 starts from a float32 network: take model.float().")
    return examples


def _quantised(
    proto: onnx.ModelProto, sources: Sequence[str], examples: tuple[Tensor, ...]
) -> onnx.ModelProto:
    try:
        return quantise(proto, list(_feeds(sources, examples)))
    except Exception as error:
        # The quantiser raises whatever its parts raise.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"The network cannot be quantised ({reason[0]}).") from error


def _feeds(sources: Sequence[str], inputs: Sequence[Tensor]) -> Iterator[dict[str, Any]]:
    for parts in zip(*(x.split(_CHUNK) for x in inputs), strict=True):
        yield {n: x.detach().cpu().numpy() for n, x in zip(sources, parts, strict=True)}


def _run(content: bytes, sources: Sequence[str], inputs: Sequence[Tensor]) -> Any:
    """Return the first output for all examples."""
    try:
        session = _session(content)
        return np.concatenate([session.run(None, f)[0] for f in _feeds(sources, inputs)])
    except Exception as error:
        # onnxruntime's own exceptions share no base class below Exception.
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnxruntime cannot run the file on these inputs ({reason}).") from error


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _names(given: Sequence[str] | None, stem: str, count: int) -> list[str]:
    names = list(given) if given else [stem, *(f"{stem}{i}" for i in range(1, count))]
    if len(names) != count or len(set(names)) != count:
        raise ExportError(f"{count} different names are needed for {stem}, not {names}.")
    return names


def _expected(model: nn.Module, inputs: Sequence[Tensor], size: int) -> list[Tensor]:
    try:
        return _outputs(model, _batch(inputs, size))
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{type(model).__name__} cannot take a batch of {size} ({reason})."
        ) from error


def _outputs(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    try:
        with evaluating(model), torch.no_grad():
            value: Any = model(*inputs)
    except CompactionError as error:
        raise ExportError(str(error)) from error
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)) and all(isinstance(v, Tensor) for v in value):
        return list(value)
    raise ExportError("Only networks that return a tensor or a tuple of tensors can be exported.")


def _batch(inputs: Sequence[Tensor], size: int) -> list[Tensor]:
    """Repeat the example's samples until there are `size`."""
    return [x[torch.arange(size) % x.shape[0]] for x in inputs]


def _by_torch(
    model: nn.Module, inputs: tuple[Tensor, ...], sources: list[str], targets: list[str]
) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    try:
        with evaluating(model), _quiet():
            program = torch.onnx.export(
                model, inputs, None, dynamo=True, verbose=False, opset_version=OPSET,
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                input_names=sources, output_names=targets,
            )  # fmt: skip
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"{type(model).__name__} has no ONNX form ({reason[0]}).") from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*proto.graph.input, *proto.graph.output]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param == symbol:
                size.dim_param = "batch"
    return proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers out of the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


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


def _compare(
    content: bytes, inputs: Sequence[Tensor], expected: list[list[Tensor]], names: list[str]
) -> float:
    """Largest relative difference between onnxruntime and torch over the test batches."""
    try:
        session = _session(content)
        worst = 0.0
        for size, wanted in zip(BATCHES, expected, strict=True):
            feed = {
                name: x.detach().cpu().numpy()
                for name, x in zip(names, _batch(inputs, size), strict=True)
            }
            for found, want in zip(session.run(None, feed), wanted, strict=True):
                target = want.detach().cpu().numpy()
                if found.shape != target.shape:
                    return float("inf")
                scale = max(1.0, float(np.abs(target).max(initial=0.0)))
                worst = max(worst, float(np.abs(found - target).max(initial=0.0)) / scale)
    except Exception as error:
        # onnxruntime's own exceptions share no base class below Exception.
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"onnxruntime cannot run the exported network ({reason}).") from error
    return worst
