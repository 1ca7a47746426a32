"""A model as a flat graph of functional ATen calls: tracing, and the folding of constants."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind

from tl1bench.errors import CompactionError

# Producers whose result shares no memory with an argument: only those may be rewritten in place.
_FRESH = {
    "add", "batch_norm", "cat", "conv1d", "conv2d", "conv3d", "div", "linear", "max_pool2d", "mul",
    "relu", "sub", "avg_pool2d", "adaptive_avg_pool2d", "conv_transpose2d", "hardtanh", "silu",
    "hardswish", "hardsigmoid", "leaky_relu", "elu", "sigmoid", "tanh", "clamp",
}  # fmt: skip


@dataclass(frozen=True)
class Traced:
    """A traced model: `names` of its tensors, `static` every tensor that no input reaches.

    `state` are the names in the state dict; `ties` says for a name that is only another name of
    the same tensor which one that is.
    """

    graph: fx.Graph
    inputs: tuple[fx.Node, ...]
    outputs: tuple[Any, ...]
    out_spec: Any
    names: dict[fx.Node, str]
    parameters: frozenset[fx.Node]
    state: frozenset[str]
    ties: dict[str, str]
    static: dict[fx.Node, Tensor] = field(default_factory=dict)

    def with_weights(self, weights: Mapping[str, Tensor]) -> Traced:
        """Return the same graph around other weights: a full state dict of the traced model.

        Raises
        ------
        CompactionError
            When a tensor is missing, unknown, of another shape or type, not finite, or no longer
            the same as the one it was tied to.
        """
        check_weights(weights.items())
        known = set(self.names.values()) | set(self.ties)
        for name in weights:
            if name not in known:
                raise CompactionError(f"The traced model has no tensor {name!r}.")
        static: dict[fx.Node, Tensor] = {}
        for node, name in self.names.items():
            old = self.static[node]
            new = weights.get(name) if name in self.state else old
            if new is None:
                raise CompactionError(f"The weights lack {name!r} of the traced model.")
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                raise CompactionError(
                    f"{name!r} is {new.dtype} {tuple(new.shape)}, "
                    f"but {old.dtype} {tuple(old.shape)} was traced."
                )
            static[node] = new.detach()
        for name, other in self.ties.items():
            if name in weights and not torch.equal(weights[name], weights[other]):
                raise CompactionError(f"{name!r} and {other!r} were one tensor when traced.")
        for node in self.static:
            if node not in static:
                _fold(node, static)
        return replace(self, static=static)

    @property
    def calls(self) -> Iterator[fx.Node]:
        """Every call that depends on an input, in execution order."""
        return (n for n in self.graph.nodes if n.op == "call_function" and n not in self.static)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode for a while; every submodule's own flag comes back afterwards.

    The module of an exported program has but the mode that it was exported in.

    Raises
    ------
    CompactionError
        When that is train mode.
    """
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
    except NotImplementedError:
        _check_exported_mode(model)
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _check_exported_mode(model: nn.Module) -> None:
    calls = model.graph.nodes if isinstance(model, fx.GraphModule) else ()
    for node in calls:
        target = node.target
        if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
            continue
        given = {**dict(zip((a.name for a in target._schema.arguments), node.args, strict=False)),
                 **node.kwargs}  # fmt: skip
        # A BatchNorm without running statistics uses those of the batch in both modes.
        own = given.get("running_mean", given) is None
        if not own and (given.get("training") is True or given.get("train") is True):
            raise CompactionError(
                f"The program was exported in train mode (see its {op_name(node)} {node.name!r}): "
                "export it again after model.eval()."
            )


def op_name(node: fx.Node) -> str:
    """`conv2d` for `aten.conv2d.default`; the plain name for a Python builtin such as getitem."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target._schema.name.partition("::")
        return name if namespace == "aten" else f"{namespace}.{name}"
    return str(getattr(target, "__name__", target))


def shape_of(node: fx.Node, batch: int = 2) -> tuple[int, ...]:
    """Sizes of the node's value with `batch` put in for the symbolic batch size."""
    value = node.meta["val"]
    return tuple(concrete(size, batch) for size in value.shape)


def concrete(size: Any, batch: int) -> int:
    """Return a size as a plain integer, `batch` replacing the only symbol there is."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, batch)))


def is_batch(value: Any) -> bool:
    """Whether `value` is the symbolic batch size itself (not an expression of it)."""
    return isinstance(value, torch.SymInt) and bool(value.node.expr.is_Symbol)


def trace(model: nn.Module, args: Sequence[Tensor]) -> Traced:
    """Trace `model` in eval mode with a dynamic first dimension; fold what no input reaches.

    A graph without in-place operations, or with harmless ones, is taken as `torch.export` gives it;
    only others pay for a full functionalisation.

    Raises
    ------
    CompactionError
        When the model cannot be traced, draws random numbers, mutates its buffers or inputs, or
        holds integer, complex, quantised or non-finite weights.
    """
    args = tuple(args)
    if not args or not all(isinstance(a, Tensor) and a.dim() > 0 for a in args):
        raise CompactionError("The example inputs must be a tuple of tensors with a batch.")
    if any(a.shape[0] < 2 for a in args):
        raise CompactionError("The example inputs need a batch of at least 2 samples.")
    check_weights([*model.named_parameters(), *model.named_buffers()])
    batch = torch.export.Dim("batch")
    try:
        # Without gradients nn.MultiheadAttention takes a path that fixes the batch size.
        with evaluating(model), torch.enable_grad(), warnings.catch_warnings():
            # Recurrent layers lay out their weights anew at every call, to the same effect.
            warnings.filterwarnings("ignore", message="The tensor attributes .*_flat_weights")
            program = torch.export.export(
                model, args, dynamic_shapes=(tuple({0: batch} for _ in args),)
                if _variadic(model) else tuple({0: batch} for _ in args),
            )  # fmt: skip
            if not _functional(program.graph):
                program = program.run_decompositions({})
    except CompactionError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CompactionError(
            f"{type(model).__name__} cannot be traced by torch.export with a free batch size "
            f"({type(error).__name__}: {reason[0]})."
        ) from error
    signature = program.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
        raise CompactionError(
            f"{type(model).__name__} changes {changed[0]!r} in its forward pass even in eval mode; "
            "only a pure function can be compacted."
        )
    return read(program)


def _variadic(model: nn.Module) -> bool:
    code = getattr(model.forward, "__code__", None)
    return bool(code and code.co_flags & 0x04 and code.co_argcount <= 1)


def check_weights(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse integer parameters, quantised or complex tensors and what is not finite."""
    for name, tensor in tensors:
        if isinstance(tensor, nn.Parameter) and not tensor.dtype.is_floating_point:
            raise CompactionError(f"Parameter {name!r} is {tensor.dtype}: only real floats.")
        if tensor.is_quantized or tensor.is_complex():
            raise CompactionError(f"Tensor {name!r} is {tensor.dtype}: only real floats.")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CompactionError(f"Tensor {name!r} holds values that are not finite.")


def _functional(graph: fx.Graph) -> bool:
    """Rewrite `relu_` and the like to `relu` where nobody can see the difference; say if done."""
    order = {node: position for position, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        target = node.target
        if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
            continue
        if not target._schema.is_mutable:
            continue
        name, changed = op_name(node), node.args[0]
        twin = getattr(torch.ops.aten, name[:-1], None) if name.endswith("_") else None
        if twin is None or not isinstance(changed, fx.Node) or changed.op != "call_function":
            return False
        if op_name(changed) not in _FRESH or target._overloadname not in twin.overloads():
            return False
        for user in changed.users:
            # Others may have read the old value, but kept no view of it; none may come later.
            if user is not node and (op_name(user) not in _FRESH or order[user] > order[node]):
                return False
        node.target = getattr(twin, target._overloadname)
    return True


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
            _fold(node, static)
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
    arguments = target._schema.arguments  # type: ignore[union-attr]
    given = {a.name: a.default_value for a in arguments}
    given |= {**dict(zip(given, node.args, strict=False)), **node.kwargs}
    if not given.get("train", given.get("training", True)) or given.get("p") == 0:
        return
    raise CompactionError(f"{op_name(node)} draws random numbers even in eval mode.")


def _fold(node: fx.Node, static: dict[fx.Node, Tensor]) -> None:
    """Execute a call all of whose operands are known tensors (`w * mask`, `w.t()`)."""
    operands = node.all_input_nodes
    if not operands or not all(operand in static for operand in operands):
        return
    value = fx.node.map_arg((node.args, node.kwargs), lambda n: static[n])
    with torch.no_grad():
        result = node.target(*value[0], **value[1])  # type: ignore[operator]
    if isinstance(result, Tensor):
        static[node] = result
