"""From a model to its graph: torch.export in eval mode, with a free batch size if it has one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from tl1bench.errors import CompactionError
from tl1bench.tracing import arguments, names, origin
from tl1bench.tracing.graph import Traced, check_weights, op_name
from tl1bench.tracing.inputs import Inputs
from tl1bench.tracing.reading import read

# Producers whose result shares no memory with an argument: only those may be rewritten in place.
_FRESH = {
    "add", "batch_norm", "cat", "conv1d", "conv2d", "conv3d", "div", "linear", "max_pool2d", "mul",
    "relu", "sub", "avg_pool2d", "adaptive_avg_pool2d", "conv_transpose2d", "hardtanh", "silu",
    "hardswish", "hardsigmoid", "leaky_relu", "elu", "sigmoid", "tanh", "clamp",
}  # fmt: skip


def bare(model: nn.Module) -> nn.Module:
    """Return the network inside what only runs it: data parallelism, torch.compile."""
    while True:
        compiled = model._modules.get("_orig_mod")
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif compiled is not None:
            model = compiled
        else:
            return model


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
        given = arguments.given(node)
        # A BatchNorm without running statistics uses those of the batch in both modes.
        own = given.get("running_mean", given) is None
        if not own and (given.get("training") is True or given.get("train") is True):
            raise CompactionError(
                f"The program was exported in train mode (see its {op_name(node)} {node.name!r}): "
                "export it again after model.eval()."
            )


def trace(
    model: nn.Module,
    args: Tensor | Sequence[Any] | Inputs,
    kwargs: Mapping[str, Any] | None = None,
) -> Traced:
    """Trace `model` in eval mode with a free batch size; fold what no input reaches.

    A network that fixes its batch size is traced with that of the example. A graph without
    in-place operations, or with harmless ones, is taken as `torch.export` gives it; only others pay
    for a full functionalisation.

    Parameters
    ----------
    model
        The network, which stays as it is.
    args, kwargs
        Example inputs, see `Inputs.of`; or all of them, with the sizes that are free.

    Returns
    -------
    Traced
        The graph.

    Raises
    ------
    CompactionError
        When the model cannot be traced, draws random numbers, mutates its buffers or inputs, or
        holds integer, complex, quantised or non-finite weights.
    """
    model, inputs = bare(model), args if isinstance(args, Inputs) else Inputs.of(args, kwargs)
    check_weights([*model.named_parameters(), *model.named_buffers()])
    try:
        try:
            program = _program(model, inputs)
        except (CompactionError, GuardOnDataDependentSymNode):
            raise
        except Exception:  # torch.export raises whatever a network does
            program = _program(model, inputs.fixed())
    except CompactionError:
        raise
    except Exception as error:
        reason = " ".join(str(error).strip().splitlines()[:2])[:400] or "no reason given"
        raise CompactionError(
            f"{type(model).__name__} cannot be traced by torch.export"
            f"{origin.of_error(error)} ({type(error).__name__}: {reason})."
        ) from error
    signature = program.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
        raise CompactionError(
            f"{type(model).__name__} changes {changed[0]!r} in its forward pass even in eval mode"
            f"{_changed_at(program)}; only a pure function can be compacted."
        )
    return read(program)


def _program(model: nn.Module, inputs: Inputs) -> torch.export.ExportedProgram:
    """Export a network in eval mode; the graph has no operations in place."""
    # Without gradients nn.MultiheadAttention takes a path that fixes the batch size.
    with evaluating(model), torch.enable_grad(), warnings.catch_warnings():
        # Recurrent layers lay out their weights anew at every call, to the same effect.
        warnings.filterwarnings("ignore", message="The tensor attributes .*_flat_weights")
        warnings.filterwarnings("ignore", message=_made_of_masks(model))
        program = torch.export.export(
            model, inputs.args, dict(inputs.kwargs), dynamic_shapes=inputs.shapes(model)
        )
        if not _functional(program.graph):
            names.check_tensors(program.state_dict)
            program = program.run_decompositions({})
    return program


def _changed_at(program: torch.export.ExportedProgram) -> str:
    """Return where a network changes what it holds, in words."""
    changes = program.graph.output_node().all_input_nodes
    kept = {spec.arg.name for spec in program.graph_signature.output_specs
            if "MUTATION" in spec.kind.name and hasattr(spec.arg, "name")}  # fmt: skip
    return next((origin.of_call(node) for node in changes if node.name in kept), "")


def _made_of_masks(model: nn.Module) -> str:
    """Return what torch.export warns where the masks of torch.nn.utils.prune make weights anew."""
    found = [n.removesuffix("_mask") for n, _ in model.named_buffers() if n.endswith("_mask")]
    own = "|".join(re.escape(f"self.{name}") for name in found)
    return rf"The tensor attributes? ({own})(, ({own}))* w(as|ere) assigned"


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
