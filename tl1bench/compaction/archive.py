"""A compact network as one safetensors file: tensors under their names, the graph as JSON beside.

Nothing in it is code: a graph is a list of calls, each of which must name a functional ATen
operation or a plain operator on sizes. Writing and reading take milliseconds, where an exported
program takes a trace.
"""

from __future__ import annotations

import json
import math
import operator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import fx, nn

from tl1bench.errors import CompactionError
from tl1bench.files import atomic_path
from tl1bench.tracing.writer import hold

FORMAT = "tl1bench graph 1"
_OPERATORS = {
    name: getattr(operator, name)
    for name in ("getitem", "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne",
                 "lt", "le", "gt", "ge")
}  # fmt: skip
_KINDS = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}


def write(model: fx.GraphModule, path: Path) -> None:
    """Write tensors and graph of a compact network.

    Raises
    ------
    CompactionError
        When a call is none that a reader would accept; `.pt2` has no such limit.
    """
    graph = [
        [node.op, node.name, _target(node), _encode(node.args), _encode(node.kwargs)]
        for node in model.graph.nodes
    ]
    described = {
        "format": FORMAT,
        "graph": json.dumps(graph, allow_nan=False),
        "parameters": json.dumps([name for name, _ in model.named_parameters()]),
    }
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as draft:
        save_file(tensors, draft, metadata=described)


def read(path: Path) -> fx.GraphModule:
    """Read what `write` wrote; the module is in eval mode.

    Raises
    ------
    CompactionError
        When the file is missing or damaged, or asks for anything but functional tensor operations.
    """
    try:
        with safe_open(path, framework="pt") as content:
            described = content.metadata() or {}
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        if described.get("format") != FORMAT:
            raise ValueError("another format")
        learnt = set(json.loads(described["parameters"]))
        root = nn.Module()
        for name, tensor in tensors.items():
            hold(root, name, tensor, name in learnt)
        return fx.GraphModule(
            root, _graph(json.loads(described["graph"]), tensors), "Compacted"
        ).eval()
    except (
        OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
    ) as error:  # fmt: skip
        raise CompactionError(f"{path} is no compacted network ({error}).") from error


def _target(node: fx.Node) -> str:
    if node.op != "call_function":
        return str(node.target)
    target = node.target
    if isinstance(target, torch._ops.OpOverload) and target.namespace == "aten":
        return str(target)
    for name, function in _OPERATORS.items():
        if target is function:
            return f"operator.{name}"
    raise CompactionError(f"A graph with {target} can be saved as .pt2 only.")


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(v) for v in value]}
    if isinstance(value, list):
        return [_encode(v) for v in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(v) for key, v in value.items()}}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    for kind, known in _KINDS.items():
        if isinstance(value, known):
            return {kind: str(value).removeprefix("torch.")}
    raise CompactionError(f"A graph with a {type(value).__name__} can be saved as .pt2 only.")


def _graph(calls: list[Any], tensors: dict[str, torch.Tensor]) -> fx.Graph:
    graph, nodes = fx.Graph(), dict[str, fx.Node]()
    for op, name, target, args, kwargs in calls:
        if op == "placeholder" and str(target).isidentifier():
            nodes[name] = graph.placeholder(target)
        elif op == "get_attr" and target in tensors:
            nodes[name] = graph.create_node("get_attr", target)
        elif op == "call_function":
            nodes[name] = graph.create_node(
                op, _function(target), _decode(args, nodes), _decode(kwargs, nodes), name=name
            )
        elif op == "output":
            graph.output(_decode(args, nodes)[0])
        else:
            raise ValueError(f"no such step: {op} {target}")
    graph.lint()
    return graph


def _function(name: str) -> Any:
    family, _, rest = name.partition(".")
    if family == "operator":
        return _OPERATORS[rest]
    operation, _, overload = rest.partition(".")
    found = getattr(getattr(torch.ops.aten, operation), overload) if family == "aten" else None
    # A file may ask for arithmetic on tensors, never for files or for changes in place.
    if (
        not isinstance(found, torch._ops.OpOverload)
        or found._schema.is_mutable
        or operation == "from_file"
    ):
        raise ValueError(f"no functional operation: {name}")
    return found


def _decode(value: Any, nodes: dict[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decode(v, nodes) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "node":
        return nodes[content]
    if kind == "tuple":
        return tuple(_decode(v, nodes) for v in content)
    if kind == "dict":
        return {key: _decode(v, nodes) for key, v in content.items()}
    if kind == "float":
        return float(content)
    if kind == "device":
        return torch.device(content)
    found = getattr(torch, content)
    if not isinstance(found, _KINDS[kind]):
        raise ValueError(f"no {kind}: {content}")
    return found
