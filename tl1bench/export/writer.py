"""The ledger of an ONNX graph: names, initializers and nodes; it knows no operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx

from tl1bench.tracing.graph import Traced, is_batch

OPSET = 18
_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
}


class Unsupported(Exception):
    """The graph needs an operation, type or option that is not written here."""


class Writer:
    """State of one graph under construction; the operations call it for names and nodes."""

    def __init__(self, traced: Traced, names: Iterable[str] = ()) -> None:
        """Begin a graph.

        Parameters
        ----------
        traced
            The network.
        names
            Of inputs and outputs: no tensor gets one of them.
        """
        self.traced = traced
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.names: dict[fx.Node, str] = {}
        self._taken = {*names, *(node.name for node in traced.graph.nodes)}

    def close(self, input_names: Sequence[str], output_names: Sequence[str]) -> onnx.ModelProto:
        """Name the outputs and return the model."""
        outputs = [o for o in self.traced.outputs if o is not None]
        for node, name in zip(outputs, output_names, strict=True):
            self.nodes.append(helper.make_node("Identity", [self.name(node)], [name]))
        self._shortcut(set(input_names))
        graph = helper.make_graph(
            self.nodes,
            "network",
            [_info(n, m) for n, m in zip(self.traced.inputs, input_names, strict=True)],
            [_info(n, m) for n, m in zip(outputs, output_names, strict=True)],
            list(self.initializers.values()),
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10,
            producer_name="tl1bench",
        )  # fmt: skip

    def _shortcut(self, inputs: set[str]) -> None:
        """Name the last call's result as the output itself instead of copying it."""
        for copy in [n for n in self.nodes if n.op_type == "Identity"]:
            old, new = copy.input[0], copy.output[0]
            users = [n for n in self.nodes if old in n.input]
            makers = [n for n in self.nodes if old in n.output]
            if old not in inputs and len(users) == 1 and len(makers) == 1:
                makers[0].output[list(makers[0].output).index(old)] = new
                self.nodes.remove(copy)

    def name(self, node: Any) -> str:
        """Return the ONNX name of an operand; a known tensor becomes an initializer."""
        if not isinstance(node, fx.Node):
            raise Unsupported
        if node in self.names:
            return self.names[node]
        if node not in self.traced.stored:
            raise Unsupported
        self.names[node] = self.constant(
            self.traced.names.get(node, node.name), self.traced.static[node]
        )
        return self.names[node]

    def constant(self, name: str, value: torch.Tensor) -> str:
        """Store a tensor under a name that is still free."""
        if value.dtype not in _TYPES:
            raise Unsupported
        tensor = numpy_helper.from_array(value.detach().cpu().contiguous().numpy(), name)
        while name in self.initializers or name in self._taken:
            known = self.initializers.get(name)
            if (
                known is not None
                and known.raw_data == tensor.raw_data
                and list(known.dims) == list(tensor.dims)
            ):
                return name
            name += "_"
            tensor.name = name
        self.initializers[name] = tensor
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Store a shape or a list of axes."""
        return self.constant(
            "ints_" + "_".join(map(str, values)), torch.tensor(values, dtype=torch.int64)
        )

    def emit(self, node: fx.Node, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Write one ONNX node that makes the value of `node`.

        Parameters
        ----------
        node
            The call whose value the node makes.
        kind
            ONNX operator.
        inputs
            Names of its inputs.
        attributes
            Its attributes.

        Returns
        -------
        str
            Name of the value.
        """
        self.names[node] = node.name
        self.nodes.append(
            helper.make_node(kind, list(inputs), [node.name], name=node.name, **attributes)
        )
        return node.name

    @staticmethod
    def operand_of(node: fx.Node) -> fx.Node:
        """Return the value that a call of one operand takes."""
        source = node.args[0]
        assert isinstance(source, fx.Node)
        return source

    def operand(self, value: Any, node: fx.Node) -> str:
        """Return an operand that may be a plain number."""
        if isinstance(value, (int, float)):
            kind = node.meta["val"].dtype
            return self.constant(f"number_{value}", torch.tensor(value, dtype=kind))
        return self.name(value)


def _info(node: fx.Node, name: str) -> onnx.ValueInfoProto:
    value = node.meta["val"]
    if value.dtype not in _TYPES:
        raise Unsupported
    shape = ["batch" if is_batch(node, s) else s for s in value.shape]
    if not all(isinstance(s, (int, str)) for s in shape):
        raise Unsupported
    return helper.make_tensor_value_info(name, _TYPES[value.dtype], shape)
