"""Reading an ONNX file of whatever origin: what it is, and what it may ask for.

A model is data: it calls operators that onnxruntime brings along or that it is itself made of, and
its weights lie in it or beside it. Not imported by the worker processes, whose memory is measured.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import onnx

from tl1bench import files

MAX_BYTES = 2**31 - 1
"""Of a model, which is what protobuf can hold, and of the files beside it together."""
MAX_MESSAGES = 1_000_000
"""Nodes, tensors, attributes …: each takes a hundred times more memory than bytes in the file."""
DOMAINS = frozenset(
    ("", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft",
     "com.microsoft.nchwc", "com.ms.internal.nhwc")
)  # fmt: skip
# Operators of these domains that load or call something outside of the model.
_OUTSIDE = frozenset({"EPContext", "PythonOp", "PythonOpGrad", "ATen", "ExternOp"})


def read(path: Path) -> tuple[Any, bytes, tuple[Path, ...]]:
    """Return the model in a file, the file's bytes, and the files beside it that hold weights.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of ModelProto, bytes and tuple of Path
        The weights themselves are not read.

    Raises
    ------
    ValueError
        It is no ONNX model, is larger than `MAX_BYTES`, keeps weights elsewhere than beside itself,
        or asks for operators of somebody else's; the message begins behind the file's name.
    OSError
        It cannot be read.
    """
    content = files.read_bytes(path, MAX_BYTES)
    if _count_messages(content) > MAX_MESSAGES:
        raise ValueError(f"has more than {MAX_MESSAGES:,} nodes, tensors and attributes")
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # whatever the parser of the day raises
        raise ValueError("is not an ONNX file") from error
    if not model.graph.output:
        raise ValueError("is not an ONNX file with outputs")
    _check_operators(model)
    return model, content, _weight_files(model, path)


def _check_operators(model: Any) -> None:
    own = {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.domain not in DOMAINS | own:
            raise ValueError(
                f"asks for the operator {node.op_type[:60]!r} of the domain {node.domain[:60]!r}; "
                "only those of ONNX and onnxruntime are run: export it without custom operators"
            )
        if node.domain not in own and node.op_type in _OUTSIDE:
            raise ValueError(f"holds the operator {node.op_type!r}, which runs foreign code")


def _weight_files(model: Any, path: Path) -> tuple[Path, ...]:
    """Return the files that hold weights, each beside the model and as large as it must be."""
    folder = path.parent.resolve()
    ends: dict[Path, int] = {}
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.external_data:
            continue
        where = {_text(entry.key): _text(entry.value) for entry in tensor.external_data}
        file = _beside(folder, where.get("location", ""))
        offset, length = (_whole(where.get(key) or "0") for key in ("offset", "length"))
        ends[file] = max(ends.get(file, 0), offset + length)
    for file, end in ends.items():
        if file.stat().st_size < end:
            raise ValueError(f"keeps weights up to byte {end} of {file.name}, which is shorter")
    if sum(file.stat().st_size for file in ends) > MAX_BYTES:
        raise ValueError(f"keeps more than {MAX_BYTES:,} bytes of weights beside itself")
    return tuple(sorted(ends))


def _text(value: str | bytes) -> str:
    # What is no UTF-8 comes out of the parser as bytes.
    if isinstance(value, bytes) or "\0" in value:
        raise ValueError(f"says in {value[:40]!r}, which is no text, where its weights are")
    return value


def _beside(folder: Path, location: str) -> Path:
    """Return the file of that name in the model's folder or below, links not followed out of it."""
    name = PurePosixPath(location)
    leads_out = name.is_absolute() or ".." in name.parts or "\\" in location or ":" in location
    file = folder / name
    if leads_out or not location or not file.resolve().is_relative_to(folder):
        raise ValueError(
            f"keeps weights in {location[:80]!r}, which is not beside it; save the model with its "
            "weights inside, or put them into its folder"
        )
    if not os.path.lexists(file):
        raise ValueError(f"keeps weights in {file}, which does not exist")
    if not stat.S_ISREG(file.stat().st_mode):
        raise ValueError(f"keeps weights in {file}, which is no ordinary file")
    return file


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"keeps weights at {text[:40]!r}, which is no place in a file")
    return int(text)


def _graphs(model: Any) -> Iterator[Any]:
    """Yield the graph, the functions, and every graph inside a node of these."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def _nodes(model: Any) -> Iterator[Any]:
    return (node for graph in _graphs(model) for node in graph.node)


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        sparse = list(getattr(graph, "sparse_initializer", ()))
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                yield attribute.t
                yield from attribute.tensors
                sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)


def _count_messages(content: bytes) -> int:
    """Count the messages in a model without making them: the same walk as protobuf's, on bytes."""
    count, place = 0, 0
    inside = [(onnx.ModelProto.DESCRIPTOR, len(content))]
    while inside and count <= MAX_MESSAGES:
        kind, end = inside[-1]
        if place >= end:
            inside.pop()
            continue
        tag, place = _varint(content, place, end)
        wire, field = tag & 7, kind.fields_by_number.get(tag >> 3)
        length = {1: 8, 5: 4}.get(wire, 0)
        if wire in (0, 2):
            length, place = _varint(content, place, end)
            length = length if wire == 2 else 0
        if wire not in (0, 1, 2, 5) or length > end - place:
            raise ValueError("is not an ONNX file")
        if wire == 2 and field is not None and field.message_type is not None:
            count += 1
            inside.append((field.message_type, place + length))
            continue
        # An empty string in a list of them takes as much.
        count += wire == 2 and length < 2
        place += length
    return count


def _varint(content: bytes, place: int, end: int) -> tuple[int, int]:
    value, shift = 0, 0
    while place < end and shift < 70:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("is not an ONNX file")
