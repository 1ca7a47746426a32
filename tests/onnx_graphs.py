"""Tiny ONNX files made with onnx.helper, for tests that measure; no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(path: Path, nodes, weights, inputs, outputs) -> Path:
    def values(shapes):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    tensors = [numpy_helper.from_array(np.asarray(w, np.float32), n) for n, w in weights.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), tensors)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def linear(path: Path, width: int = 8, batch: int | str = "batch", features: int = 8) -> Path:
    """x → x Wᵀ W: cost grows with `width`."""
    weight = np.linspace(-1, 1, width * features).reshape(width, features)
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], transB=1),
        helper.make_node("Gemm", ["h", "w"], ["y"]),
    ]
    shape = [batch, features]
    return save(path, nodes, {"w": weight}, {"x": shape}, {"y": shape})


def convolutions(path: Path, first: int = 16, second: int = 7) -> Path:
    """Two convolutions with `first` and `second` output channels."""
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(first, 1, 3, 3)), "b": rng.normal(size=(second, first, 3, 3))}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["y"], kernel_shape=[3, 3]),
    ]
    return save(path, nodes, weights, {"x": ["batch", 1, 8, 8]}, {"y": ["batch", second, 4, 4]})
