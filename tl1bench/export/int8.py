"""A float32 ONNX model in 8 bits: static quantisation by onnxruntime, from calibration data."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from tl1bench.errors import ExportError
from tl1bench.export.check import feeds
from tl1bench.tracing.arguments import as_tuple

_PRECISIONS = ("float32", "int8")
Feed = Mapping[str, NDArray[Any]]


def quantise(proto: onnx.ModelProto, examples: Sequence[Feed]) -> onnx.ModelProto:
    """Return `proto` with 8-bit convolutions and products between QuantizeLinear pairs (QDQ).

    Activations are unsigned with ranges seen over `examples`, minimum to maximum; weights signed,
    one scale a filter, in 7 of the 8 bits: with all 8, products of processors without 8-bit dot
    products (VNNI) saturate, and the accuracy would depend on the machine.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with TemporaryDirectory(prefix="tl1bench-") as folder, _quiet():
        fused, small = Path(folder) / "fused.onnx", Path(folder) / "int8.onnx"
        # BatchNorm goes into the convolution before it: ranges are taken behind both.
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(fused)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        quantize_static(
            fused, small, _Feeds(examples),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(small)


class _Feeds:
    """Calibration data as onnxruntime asks for it: one dict after the other, then None."""

    def __init__(self, examples: Sequence[Feed]) -> None:
        self._feeds = iter(examples)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, given through the root logger, off the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def calibration_examples(
    precision: str, calibration: Tensor | tuple[Tensor, ...] | None, inputs: Sequence[Tensor]
) -> tuple[Tensor, ...] | None:
    """Return the examples to calibrate with; None for float32.

    Parameters
    ----------
    precision
        "float32" or "int8".
    calibration
        What the caller gave.
    inputs
        Example inputs, which they must look like.

    Returns
    -------
    tuple of Tensor or None
        One tensor an input.

    Raises
    ------
    ExportError
        The precision is unknown, or the examples do not fit.
    """
    if precision not in _PRECISIONS:
        raise ExportError(f"Unknown precision {precision!r}: one of {', '.join(_PRECISIONS)}.")
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


def quantised(
    proto: onnx.ModelProto, sources: Sequence[str], examples: tuple[Tensor, ...]
) -> onnx.ModelProto:
    """Return the model in 8 bits, with the ranges seen over the examples.

    Parameters
    ----------
    proto
        A float32 model.
    sources
        Names of its inputs.
    examples
        One tensor an input.

    Returns
    -------
    ModelProto
        Another function, nearly.

    Raises
    ------
    ExportError
        The network cannot be quantised.
    """
    try:
        return quantise(proto, list(feeds(sources, examples)))
    except Exception as error:
        # The quantiser raises whatever its parts raise.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ExportError(f"The network cannot be quantised ({reason[0]}).") from error
