"""Writing by `torch.onnx.export`: any network, in seconds."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import nn

from tl1bench.errors import CompactionError, ExportError
from tl1bench.export.writer import OPSET
from tl1bench.tracing.capture import evaluating
from tl1bench.tracing.inputs import Inputs
from tl1bench.tracing.names import check_tensors


def by_torch(
    model: nn.Module, inputs: Inputs, sources: list[str], targets: list[str]
) -> onnx.ModelProto:
    """Return the model.

    Parameters
    ----------
    model, inputs
        The network, and what it is called with.
    sources, targets
        Names of inputs and outputs.

    Returns
    -------
    ModelProto
        With the free dimension `batch`, where the batch is free.

    Raises
    ------
    ExportError
        The network has no ONNX form, or a tensor of it a name that would be code.
    """
    try:
        check_tensors(model.state_dict())
        # With gradients the exporter counts on strides of a kernel that it then does not take.
        with evaluating(model), _quiet(), torch.no_grad():
            program = torch.onnx.export(
                model, inputs.args, None, dynamo=True, verbose=False, opset_version=OPSET,
                kwargs=dict(inputs.kwargs), dynamic_shapes=inputs.shapes(model),
                input_names=sources, output_names=targets, optimize=False,
            )  # fmt: skip
            assert program is not None
            _name_apart(program.model.graph)
            plain: onnx.ModelProto = program.model_proto
            program.optimize()
    except CompactionError as error:
        raise ExportError(str(error)) from error
    except Exception as error:
        first: BaseException = error
        while first.__cause__ is not None:  # what comes after it says how the exporter works
            first = first.__cause__
        reason = (str(first).strip().splitlines() or [type(first).__name__])[0].rstrip(".")
        raise ExportError(f"{type(model).__name__} has no ONNX form ({reason}).") from error
    proto: onnx.ModelProto = program.model_proto
    if _numbers(proto) > _numbers(plain):  # weights that are shared were folded into copies
        proto = plain
    symbol = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in [*proto.graph.input, *proto.graph.output]:
        for size in value.type.tensor_type.shape.dim if symbol else ():
            if size.dim_param == symbol:
                size.dim_param = "batch"
    return proto


def _name_apart(graph: Any) -> None:
    """Give a tensor that is called as a value is another name (in place)."""
    values = {value.name for node in graph.all_nodes() for value in node.outputs}
    for name in values & set(graph.initializers):
        free = f"{name}_tensor"
        while free in values or free in graph.initializers:
            free += "_"
        graph.initializers[name].name = free


def _numbers(proto: onnx.ModelProto) -> int:
    """Return how many numbers a model holds."""
    constants = [a.t for n in proto.graph.node if n.op_type == "Constant" for a in n.attribute]
    return sum(math.prod(t.dims) for t in (*proto.graph.initializer, *constants))


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
