"""What can be read from an ONNX file without running it, and the floor's graph."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from tl1bench.errors import MeasurementError
from tl1bench.runtime import onnx_file

BLOCKED_DOMAIN = "com.microsoft.nchwc"


@dataclass(frozen=True)
class Graph:
    """One ONNX file: its inputs, its convolutions' output channels, its size.

    `inputs` holds element type and shape behind the batch axis; bytes include weights that lie in
    files of their own.
    """

    path: Path
    inputs: tuple[tuple[int, tuple[int | str, ...]], ...]
    conv_channels: str
    file_bytes: int
    gzip_bytes: int


def read_graph(path: str | Path) -> Graph:
    """Read `path`.

    Raises
    ------
    MeasurementError
        There is no such file, or it is more or less than an ONNX model (see `runtime.onnx_file`).
    """
    path = Path(path).resolve()
    if not path.exists():
        raise MeasurementError(f"{path} does not exist: write it with `tl1bench export`.")
    try:
        model, content, beside = onnx_file.read(path)
        content += b"".join(file.read_bytes() for file in beside)
    except ValueError as error:
        raise MeasurementError(f"{path} {error}.") from error
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read: {error.strerror}.") from error
    return Graph(
        path=path,
        inputs=tuple(_signature(value) for value in _inputs(model)),
        conv_channels=_conv_channels(model),
        file_bytes=len(content),
        gzip_bytes=len(gzip.compress(content, compresslevel=6, mtime=0)),
    )


def write_floor(like: Path, target: Path) -> None:
    """Write a graph that hands the inputs of the model at `like` through unchanged.

    Its latency is what onnxruntime and Python cost before any arithmetic.
    """
    inputs = _inputs(onnx.load(like, format="protobuf", load_external_data=False))
    outputs = []
    for number, value in enumerate(inputs):
        output = onnx.ValueInfoProto()
        output.CopyFrom(value)
        output.name = f"floor_{number}"
        outputs.append(output)
    nodes = [
        onnx.helper.make_node("Identity", [value.name], [output.name])
        for value, output in zip(inputs, outputs, strict=True)
    ]
    graph = onnx.helper.make_graph(nodes, "floor", inputs, outputs)
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), target)


def count_convolutions(optimized: Path) -> tuple[int, int]:
    """Count a graph's convolutions, and those in onnxruntime's blocked (NCHWc) layout.

    `optimized` is the graph as onnxruntime writes it after optimising; whether a convolution is
    blocked depends on its channel count and on the CPU's vector width.
    """
    nodes = onnx.load(optimized, format="protobuf", load_external_data=False).graph.node
    convolutions = [node for node in nodes if node.op_type.endswith("Conv")]
    return len(convolutions), sum(node.domain == BLOCKED_DOMAIN for node in convolutions)


def _inputs(model: Any) -> list[Any]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def _signature(value: Any) -> tuple[int, tuple[int | str, ...]]:
    tensor = value.type.tensor_type
    dims = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
    return tensor.elem_type, dims[1:]


def _conv_channels(model: Any) -> str:
    filters = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    return "-".join(
        str(filters.get(node.input[1], "?")) for node in model.graph.node if node.op_type == "Conv"
    )
