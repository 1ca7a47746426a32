"""From an exported program to its graph: names and ties of tensors, constants folded."""

from __future__ import annotations

import torch
from torch import Tensor, fx
from torch.export.graph_signature import InputKind

from tl1bench.errors import CompactionError
from tl1bench.tracing import arguments
from tl1bench.tracing.graph import Traced, fold, op_name


def read(program: torch.export.ExportedProgram) -> Traced:
    """Take an exported program apart; fold what no input reaches."""
    names: dict[str, tuple[str, bool, Tensor]] = {}
    identity: dict[str, int] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == InputKind.USER_INPUT:
            continue
        if spec.target is None or spec.kind not in (
            InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR,
        ):  # fmt: skip
            raise CompactionError(f"The traced model needs an object it cannot keep: {spec}.")
        store = program.state_dict if spec.target in program.state_dict else program.constants
        tensor = store[spec.target].detach()
        identity[spec.arg.name] = id(store[spec.target])
        names[spec.arg.name] = (spec.target, spec.kind == InputKind.PARAMETER, tensor)
    inputs: list[fx.Node] = []
    labels: dict[fx.Node, str] = {}
    static: dict[fx.Node, Tensor] = {}
    parameters: set[fx.Node] = set()
    first: dict[int, fx.Node] = {}
    ties: dict[str, str] = {}
    for node in list(program.graph.nodes):
        if node.op == "placeholder":
            if node.name in names:
                labels[node], learnt, static[node] = names[node.name]
                tied = first.setdefault(identity[node.name], node)
                if tied is not node:
                    node.replace_all_uses_with(tied)
                    ties[labels[node]] = labels[tied]
                if learnt:
                    parameters.add(node)
            else:
                inputs.append(node)
        elif node.op == "call_function":
            _check_random(node)
            if _takes_all(node):
                node.replace_all_uses_with(node.args[0])
                program.graph.erase_node(node)
                continue
            fold(node, static)
        elif node.op != "output":
            raise CompactionError(f"The traced model holds {node.op} {node.name!r}.")
    (outputs,) = program.graph.output_node().args
    assert isinstance(outputs, tuple)
    return Traced(
        graph=program.graph,
        inputs=tuple(inputs),
        outputs=outputs,
        out_spec=program.call_spec.out_spec,
        names=labels,
        parameters=frozenset(parameters),
        state=frozenset(program.state_dict),
        ties=ties,
        static=static,
    )


def _takes_all(node: fx.Node) -> bool:
    """Whether the call is the `:` of an index such as `x[:, 2:]`."""
    if node.target is not torch.ops.aten.slice.Tensor:
        return False
    given = dict(zip(("start", "stop", "step"), node.args[2:], strict=False))
    usual = {"start": (None, 0), "stop": (None, 2**63 - 1), "step": (None, 1)}
    return all(value in usual[name] for name, value in given.items())


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
    raise CompactionError(f"{op_name(node)} draws random numbers even in eval mode.")
