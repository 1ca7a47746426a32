"""Hostile ONNX files by what they try."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

Make = Callable[[Path], Path]


def model(*nodes: onnx.NodeProto, tensors: tuple = (), dims: tuple = ("n", 3)) -> onnx.ModelProto:
    """x → relu, beside `nodes`."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in "xy")
    body = [*nodes, helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(body, "g", [x], [y], list(tensors))
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


def outside(location: str, **more: str) -> onnx.TensorProto:
    """A weight that lies in a file."""
    tensor = TensorProto(name="w", dims=[1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def of(proto: onnx.ModelProto, prepare: Callable[[Path], object] = lambda folder: None) -> Make:
    def make(folder: Path) -> Path:
        prepare(folder)
        (folder / "bad.onnx").write_bytes(proto.SerializeToString())
        return folder / "bad.onnx"

    return make


def raw(content: bytes, size: int = 0) -> Make:
    """Return what writes `content`, and a hole of `size` bytes behind it."""

    def make(folder: Path) -> Path:
        with (folder / "bad.onnx").open("wb") as file:
            file.write(content)
            file.truncate(max(size, len(content)))
        return folder / "bad.onnx"

    return make


def _hole(folder: Path) -> None:
    with (folder / "w.bin").open("wb") as file:
        file.truncate(3 << 30)


def _folder(folder: Path) -> Path:
    (folder / "bad.onnx").mkdir()
    return folder / "bad.onnx"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "bad.onnx")
    return folder / "bad.onnx"


def models() -> dict[str, Make]:
    mine = helper.make_node("Run", ["x"], ["z"], domain="mine")
    branch = helper.make_graph(
        [mine], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    )
    truth = numpy_helper.from_array(__import__("numpy").array(True), "c")
    choice = helper.make_node("If", ["c"], ["k"], then_branch=branch, else_branch=branch)
    constant = helper.make_node("Constant", [], ["k"], value=outside("/etc/passwd"))
    sizes = helper.make_tensor("s", TensorProto.INT64, [1], [1 << 40])
    huge = helper.make_node("ConstantOfShape", ["s"], ["k"])
    used = helper.make_node("ReduceSum", ["k"], ["r"], keepdims=0)
    return {
        "weights at the root": of(model(tensors=(outside("/etc/passwd"),))),
        "weights above": of(model(tensors=(outside("../../../etc/passwd"),))),
        "weights by Windows' ways": of(model(tensors=(outside("..\\..\\secret"),))),
        "weights behind a link": of(
            model(tensors=(outside("w.bin"),)), lambda f: (f / "w.bin").symlink_to("/etc/passwd")
        ),
        "weights behind a linked folder": of(
            model(tensors=(outside("d/passwd"),)), lambda f: (f / "d").symlink_to("/etc")
        ),
        "weights from a device": of(
            model(tensors=(outside("w.bin"),)), lambda f: (f / "w.bin").symlink_to("/dev/zero")
        ),
        "weights from a pipe": of(
            model(tensors=(outside("w.bin"),)), lambda f: os.mkfifo(f / "w.bin")
        ),
        "weights that are not there": of(model(tensors=(outside("w.bin"),))),
        "weights nowhere": of(model(tensors=(outside(""),))),
        "weights at bytes that are no text": raw(
            model(tensors=(outside("w.bin"),)).SerializeToString().replace(b"w.bin", b"w\x00\x80in")
        ),
        "weights at a name with a hole": of(model(tensors=(outside("w\0bin"),))),
        "weights behind the end": of(
            model(tensors=(outside("w.bin", offset="4096", length="4"),)),
            lambda f: (f / "w.bin").write_bytes(b"1234"),
        ),
        "weights before the beginning": of(
            model(tensors=(outside("w.bin", offset="-4"),)),
            lambda f: (f / "w.bin").write_bytes(b"1234"),
        ),
        "weights of three gigabytes": of(model(tensors=(outside("w.bin"),)), _hole),
        "a constant at the root": of(model(constant)),
        "an operator of nobody's": of(model(mine)),
        "an operator of nobody's in a branch": of(model(choice, tensors=(truth,))),
        "an operator that loads a context": of(
            model(helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft"))
        ),
        "a file of three gigabytes": raw(b"", 3 << 30),
        "three million nodes": raw(b"\x3a\x80\x9b\xee\x02" + b"\x0a\x00" * 3_000_000),
        "a constant of terabytes": of(model(huge, used, tensors=(sizes,))),
        "an input of terabytes": of(model(dims=(1, 1 << 40))),
        "onnxruntime's own form": raw(b"\x18\x00\x00\x00ORTM" + bytes(64)),
        "no model": raw(b"no model"),
        "nothing": raw(b""),
        "half a model": raw(model().SerializeToString()[:-20]),
        "a folder": _folder,
        "a pipe": _pipe,
    }
