"""A compact network as one safetensors file: tensors under their names, the graph as JSON beside.

Nothing in it is code: a graph is a list of calls, each of which must name a functional ATen
operation or a plain operator on sizes, with the keywords of its schema. torch.fx writes Python from
a graph, so every name in it must be an identifier that hides nothing. Writing and reading take
milliseconds, where an exported program takes a trace.
"""

from __future__ import annotations

import json
import keyword
import math
import operator
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import fx, nn

from tl1bench.errors import CompactionError
from tl1bench.files import atomic_path, parse_json
from tl1bench.tracing.holding import hold

FORMAT = "tl1bench graph 1"
MAX_TEXT, MAX_CALLS, MAX_DEPTH, MAX_NUMBERS = 64 << 20, 100_000, 16, 1 << 31
_PART = re.compile(r"[A-Za-z0-9_]{1,200}")
# What generated code and a module call their own.
_MODULE = frozenset({*dir(nn.Module()), "graph", "code"})
_TAKEN = frozenset({"self", "torch", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree"})
_OPERATORS = {
    name: getattr(operator, name)
    for name in ("getitem", "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne",
                 "lt", "le", "gt", "ge", "is_")
}  # fmt: skip
# What takes arguments apart.
_OPERATORS |= {"len": len, "assert": torch._assert}
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
            # Copied: what lies in a file is aligned otherwise, and sums of it round otherwise.
            tensors = {n: content.get_tensor(n).clone() for n in content.keys()}  # noqa: SIM118
        if described.get("format") != FORMAT:
            raise ValueError("another format")
        learnt = set(parse_json(described["parameters"], MAX_TEXT))
        root = nn.Module()
        for name, tensor in tensors.items():
            _check_path(name)
            hold(root, name, tensor, name in learnt)
        graph = _graph(parse_json(described["graph"], MAX_TEXT), tensors)
        return fx.GraphModule(root, graph, "Compacted").eval()
    except Exception as error:  # a file may be damaged in whatever way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CompactionError(f"{path} is no compacted network ({reason[:200]}).") from error


def _check_name(name: Any) -> None:
    """Refuse what is no identifier, or hides what generated code or a module needs."""
    fine = isinstance(name, str) and name.isidentifier() and name.isascii() and len(name) < 200
    if not fine or keyword.iskeyword(name) or name.startswith("__") or name in _TAKEN:
        raise ValueError(f"no name for a value: {str(name)[:60]!r}")


def _check_path(name: str) -> None:
    """Refuse names of tensors that would replace a part of a module."""
    for part in name.split("."):
        if not _PART.fullmatch(part) or part in _MODULE:
            raise ValueError(f"no name for a tensor: {name[:60]!r}")


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
    if len(calls) > MAX_CALLS:
        raise ValueError(f"a graph of {len(calls)} calls")
    for op, name, target, args, kwargs in calls:
        _check_name(name) if op != "output" else None
        if op == "placeholder":
            _check_name(target)
            nodes[name] = graph.placeholder(target)
        elif op == "get_attr" and target in tensors:
            nodes[name] = graph.create_node("get_attr", target)
        elif op == "call_function":
            function = _function(target)
            positional, named = _decode(args, nodes), _decode(kwargs, nodes)
            _check_arguments(function, positional, named)
            nodes[name] = graph.create_node(op, function, positional, named, name=name)
        elif op == "output":
            graph.output(_decode(args, nodes)[0])
        else:
            raise ValueError(f"no such step: {op} {target}")
    if not any(node.op == "output" for node in graph.nodes):
        raise ValueError("a graph without an output")
    graph.lint()
    return graph


def _check_arguments(function: Any, args: Any, kwargs: Any) -> None:
    """Refuse arguments that the operation does not have, and sizes that no network needs."""
    if not isinstance(args, tuple) or not isinstance(kwargs, dict):
        raise ValueError("arguments of another form")
    known: set[str] = set()
    most = 2
    if isinstance(function, torch._ops.OpOverload):
        known = {a.name for a in function._schema.arguments}
        most = len(known)
    if len(args) > most or set(kwargs) - known:
        raise ValueError(f"arguments that {function} does not take")
    for value in (*args, *kwargs.values()):
        _check_size(value)


def _check_size(value: Any) -> None:
    """Refuse lists of sizes that would allocate more than any compact network is."""
    numbers = value if isinstance(value, list | tuple) else [value]
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
    ends = [n for n in whole if n not in (2**63 - 1, -(2**63))]  # the usual end of a slice
    if any(abs(n) > MAX_NUMBERS for n in ends) or math.prod(max(1, n) for n in ends) > MAX_NUMBERS:
        raise ValueError("sizes beyond what a compact network needs")


def _function(name: str) -> Any:
    family, _, rest = name.partition(".")
    if family == "operator":
        return _OPERATORS[rest]
    operation, _, overload = rest.partition(".")
    known = family == "aten" and _PART.fullmatch(operation)
    packet = getattr(torch.ops.aten, operation) if known else None
    # A file may ask for arithmetic on tensors, never for files or for changes in place.
    if (
        not isinstance(packet, torch._ops.OpOverloadPacket)
        or overload not in packet.overloads()
        or operation == "from_file"
        or getattr(packet, overload)._schema.is_mutable
    ):
        raise ValueError(f"no functional operation: {name}")
    return getattr(packet, overload)


def _decode(value: Any, nodes: dict[str, fx.Node], depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("arguments inside arguments without end")
    if isinstance(value, list):
        return [_decode(v, nodes, depth + 1) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "node":
        return nodes[content]
    if kind == "tuple":
        return tuple(_decode(v, nodes, depth + 1) for v in content)
    if kind == "dict":
        return {key: _decode(v, nodes, depth + 1) for key, v in content.items()}
    if kind == "float":
        return float(content)
    if kind == "device":
        return torch.device(content)
    _check_name(content)
    found = getattr(torch, content)
    if not isinstance(found, _KINDS[kind]):
        raise ValueError(f"no {kind}: {content}")
    return found
