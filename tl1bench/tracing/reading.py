"""From an exported program to its graph: names and ties of tensors, constants folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from tl1bench.errors import CompactionError
from tl1bench.tracing import arguments, origin, storing
from tl1bench.tracing.graph import Traced, fold, op_name, stand_ins
from tl1bench.tracing.rewriting import usual
from tl1bench.tracing.unstacking import unstack


def read(program: torch.export.ExportedProgram) -> Traced:
    """Take an exported program apart; fold what no input reaches.

    Raises
    ------
    CompactionError
        The program needs what cannot be kept, or draws random numbers.
    """
    stored = _stored(program)
    unstack(program.graph)
    labels: dict[fx.Node, str] = {}
    static: dict[fx.Node, Tensor] = {}
    parameters = set[fx.Node]()
    first: dict[int, fx.Node] = {}
    ties: dict[str, str] = {}
    for node in list(program.graph.nodes):
        if node.op == "placeholder" and node.name in stored:
            own = stored[node.name]
            labels[node], static[node] = own.name, own.tensor.detach()
            tied = first.setdefault(id(own.tensor), node)
            if tied is not node:
                node.replace_all_uses_with(tied)
                ties[labels[node]] = labels[tied]
            if own.learnt:
                parameters.add(node)
        elif node.op == "call_function":
            _read_call(node, program.graph, static)
        elif node.op not in ("placeholder", "output"):
            raise CompactionError(f"The traced model holds {node.op} {node.name!r}.")
    (outputs,) = program.graph.output_node().args
    assert isinstance(outputs, tuple)
    read = storing.readings(program.graph, static)
    learnt = storing.made_of(static, parameters)
    kept = storing.stored(read, static, learnt)
    called = _called(program)
    return Traced(
        graph=program.graph,
        inputs=tuple(x for x in pytree.tree_leaves(called) if isinstance(x, fx.Node)),
        called=called,
        outputs=outputs,
        out_spec=program.call_spec.out_spec,
        names=labels,
        parameters=learnt,
        state=frozenset(program.state_dict),
        ties=ties,
        static=static,
        stored=kept,
        computed=storing.computed(read, static, kept),
        readings=read,
    )


def _called(program: torch.export.ExportedProgram) -> dict[str, Any]:
    """Return what each argument is made of, by its name: inputs, constants, containers of them."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    leaves = [
        spec.arg.value if isinstance(spec.arg, ConstantArgument) else nodes[spec.arg.name]
        for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT
    ]  # fmt: skip
    args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    signature = program.module_call_graph[0].signature
    names = list((signature and signature.forward_arg_names) or ())
    values = [*args, *kwargs.values()]
    if len(names) != len(values):
        names = [*(f"x{place}" for place in range(len(args))), *kwargs]
    return {
        str(value.target) if isinstance(value, fx.Node) else name: value
        for name, value in zip(names, values, strict=True)
    }


@dataclass(frozen=True, eq=False)
class _Stored:
    name: str
    learnt: bool
    tensor: Tensor


def _stored(program: torch.export.ExportedProgram) -> dict[str, _Stored]:
    """Return the tensors that the program brings along, by the name of their placeholder."""
    found: dict[str, _Stored] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            continue
        if spec.target is None or spec.kind not in (
            InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR,
        ):  # fmt: skip
            raise CompactionError(f"The traced model needs an object it cannot keep: {spec}.")
        store = program.state_dict if spec.target in program.state_dict else program.constants
        learnt = spec.kind == InputKind.PARAMETER
        found[spec.arg.name] = _Stored(spec.target, learnt, store[spec.target])
    return found


def _read_call(node: fx.Node, graph: fx.Graph, static: dict[fx.Node, Tensor]) -> None:
    """Refuse a random call, drop one that does nothing, fold one of known operands."""
    _check_random(node)
    if op_name(node) == "_assert_tensor_metadata":  # holds for this trace, whatever is cut
        graph.erase_node(node)
        return
    same = _same_as(node)
    if same is not None:
        node.replace_all_uses_with(same)
        graph.erase_node(node)
        return
    fold(usual(node, graph, static), static)


def _same_as(node: fx.Node) -> fx.Node | None:
    """Return the operand that a call gives back as it is; None for any other call.

    That is the `:` of an index such as `x[:, 2:]`, what a tensor is written over with, and what is
    padded by nothing.
    """
    ops, same = torch.ops.aten, None
    if node.target is ops.slice.Tensor and _takes_all(node.args[2:]):
        return arguments.node_of(node.args[0])
    if node.target is ops.slice_scatter.default and _takes_all(node.args[3:]):
        same = arguments.node_of(node.args[1])
    if node.target is ops.copy.default:
        same = arguments.node_of(node.args[1])
    if node.target in (ops.pad.default, ops.constant_pad_nd.default) and not any(node.args[1]):  # type: ignore[arg-type]
        same = arguments.node_of(node.args[0])
    return same if same is not None and _is_alike(node, same) else None


def _takes_all(bounds: Sequence[Any]) -> bool:
    given = dict(zip(("start", "stop", "step"), bounds, strict=False))
    usual = {"start": (None, 0), "stop": (None, 2**63 - 1), "step": (None, 1)}
    return all(value in usual[name] for name, value in given.items())


def _is_alike(node: fx.Node, other: fx.Node) -> bool:
    """Whether two values have one type, and equal sizes whatever they are given."""
    return stand_ins(node) == stand_ins(other) and node.meta["val"].dtype == other.meta["val"].dtype


def _check_random(node: fx.Node) -> None:
    target = node.target
    tags = target.tags if isinstance(target, torch._ops.OpOverload) else []
    if (
        torch.Tag.nondeterministic_seeded not in tags
        or op_name(node) == "scaled_dot_product_attention"
    ):
        return
    given = arguments.complete(node)
    if not given.get("train", given.get("training", True)) or given.get("p") == 0:
        return
    raise CompactionError(
        f"{op_name(node)} draws random numbers even in eval mode{origin.of_call(node)}."
    )
