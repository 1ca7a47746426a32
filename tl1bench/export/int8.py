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
from numpy.typing import NDArray

Feed = Mapping[str, NDArray[Any]]


def quantise(proto: onnx.ModelProto, feeds: Sequence[Feed]) -> onnx.ModelProto:
    """Return `proto` with 8-bit convolutions and products between QuantizeLinear pairs (QDQ).

    Activations are unsigned with ranges seen over `feeds` (minimum to maximum); weights are signed,
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
            fused, small, _Feeds(feeds),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(small)


class _Feeds:
    """Calibration data as onnxruntime asks for it: one dict after the other, then None."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = iter(feeds)

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
