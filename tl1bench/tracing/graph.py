"""A model as a flat graph of functional ATen calls, and what is known of its tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from tl1bench.errors import CompactionError
from tl1bench.tracing import free

MAX_CONSTANT = 1 << 26


@dataclass(frozen=True)
class Traced:
    """A traced model: `names` of its tensors, `static` every tensor that no input reaches.

    `inputs` are its tensors in order; `called` says of each argument, by name, what it is made of:
    an input, a constant, or lists, tuples and dicts of them.
    `parameters` are learnt, or made of what is. `state` are the names in the state dict; `ties`
    says for a name that is only another name of the same tensor which one that is. `stored` are the
    known tensors that a file of the network holds, `computed` the calls, in execution order, that
    make of them all others that are read; `readings` says how often a call or an output names each.
    """

    graph: fx.Graph
    inputs: tuple[fx.Node, ...]
    called: dict[str, Any]
    outputs: tuple[Any, ...]
    out_spec: Any
    names: dict[fx.Node, str]
    parameters: frozenset[fx.Node]
    state: frozenset[str]
    ties: dict[str, str]
    static: dict[fx.Node, Tensor] = field(default_factory=dict)
    stored: frozenset[fx.Node] = frozenset()
    computed: tuple[fx.Node, ...] = ()
    readings: Counter[fx.Node] = field(default_factory=Counter)

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
                fold(node, static)
        return replace(self, static=static)

    def folded(self) -> Traced:
        """Return the same network with every known tensor stored as it is read."""
        return replace(self, stored=frozenset(self.readings), computed=())

    def is_shared(self, known: fx.Node) -> bool:
        """Whether a known tensor is not stored for one reader alone."""
        alone = known in self.stored and self.readings[known] == 1
        return not alone or any(call in self._makes for call in known.users)

    @cached_property
    def _makes(self) -> frozenset[fx.Node]:
        return frozenset(self.computed)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size of a network that fixes it; None for all that take any."""
        size = self.inputs[0].meta["val"].shape[0]
        return size if isinstance(size, int) else None

    @property
    def written_calls(self) -> Iterator[fx.Node]:
        """Every call that depends on an input or computes a known tensor, in execution order."""
        return (n for n in self.graph.nodes if n.op == "call_function"
                and (n not in self.static or n in self._makes))  # fmt: skip

    @property
    def calls(self) -> Iterator[fx.Node]:
        """Every call that depends on an input, in execution order."""
        return (n for n in self.graph.nodes if n.op == "call_function" and n not in self.static)


def op_name(node: fx.Node) -> str:
    """`conv2d` for `aten.conv2d.default`; the plain name for a Python builtin such as getitem."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        namespace, _, name = target._schema.name.partition("::")
        return name if namespace == "aten" else f"{namespace}.{name}"
    return str(getattr(target, "__name__", target))


def shape_of(node: fx.Node, batch: int = 2) -> tuple[int, ...]:
    """Sizes of the node's value in the example that was traced, with `batch` samples."""
    value = node.meta["val"]
    return tuple(concrete(node, size, batch) for size in value.shape)


def stand_ins(node: fx.Node) -> tuple[int, ...]:
    """Sizes of the node's value, numbers of `free.stand_in` where they are free."""
    return tuple(free.stand_in(size) for size in node.meta["val"].shape)


def fixed_axes(node: fx.Node) -> list[int]:
    """Axes behind the first one of a value whose sizes are not free: channels may lie there."""
    shape = node.meta["val"].shape
    return [axis for axis in range(1, len(shape)) if isinstance(shape[axis], int)]


def concrete(node: fx.Node, size: Any, batch: int) -> int:
    """Return a size of a node as a plain integer.

    Parameters
    ----------
    node
        The node.
    size
        One of its sizes.
    batch
        Samples in the batch; other free sizes are those of the example.

    Returns
    -------
    int
        The size.
    """
    if isinstance(size, int):
        return size
    own, example = _symbols(node.graph)
    expression = size.node.expr
    values = {s: batch if s == own else example.get(s, batch) for s in expression.free_symbols}
    return int(expression.subs(values))


def is_batch(node: fx.Node, value: Any) -> bool:
    """Whether `value`, of a node, is the symbolic batch size itself (not an expression of it)."""
    own = _symbols(node.graph)[0]
    return isinstance(value, torch.SymInt) and own is not None and bool(value.node.expr == own)


_SYMBOLS: WeakKeyDictionary[fx.Graph, tuple[Any, dict[Any, int]]] = WeakKeyDictionary()


def _symbols(graph: fx.Graph) -> tuple[Any, dict[Any, int]]:
    """Return the symbol of the batch, and the example's number for every symbol of an input.

    The batch is the first size of the first tensor that has any free size.
    """
    if graph not in _SYMBOLS:
        values = (node.meta.get("val") for node in graph.nodes if node.op == "placeholder")
        shapes: list[list[Any]] = [list(v.shape) for v in values if isinstance(v, Tensor)]
        some = [[s for s in shape if isinstance(s, torch.SymInt)] for shape in shapes]
        first = next((shape[0] for shape, own in zip(shapes, some, strict=True) if own), None)
        numbers = {
            s.node.expr: int(s.node.hint)
            for own in some for s in own if s.node.expr.is_Symbol and s.node.hint is not None
        }  # fmt: skip
        batch = first.node.expr if isinstance(first, torch.SymInt) else None
        _SYMBOLS[graph] = batch, numbers
    return _SYMBOLS[graph]


def check_weights(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse integer parameters, quantised or complex tensors and what is not finite.

    Raises
    ------
    CompactionError
        One is among them; the message names it.
    """
    for name, tensor in tensors:
        if isinstance(tensor, nn.Parameter) and not tensor.dtype.is_floating_point:
            raise CompactionError(f"Parameter {name!r} is {tensor.dtype}: only real floats.")
        if tensor.is_quantized or tensor.is_complex():
            raise CompactionError(f"Tensor {name!r} is {tensor.dtype}: only real floats.")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CompactionError(f"Tensor {name!r} holds values that are not finite.")


def fold(node: fx.Node, static: dict[fx.Node, Tensor]) -> None:
    """Execute a call all of whose operands are known tensors (`w * mask`, `w.t()`)."""
    operands = node.all_input_nodes
    if not operands or not all(operand in static for operand in operands):
        return
    if not _can_be_held(node, static):
        return
    value = fx.node.map_arg((node.args, node.kwargs), lambda n: static[n])
    with torch.no_grad():
        result = node.target(*value[0], **value[1])  # type: ignore[operator]
    if isinstance(result, Tensor):
        static[node] = result


def _can_be_held(node: fx.Node, static: dict[fx.Node, Tensor]) -> bool:
    """Return whether the result of a call is small enough to be made.

    How much `repeat_interleave` makes, say, stands in its numbers: where these allow for more than
    a network needs, the call stays one.

    Raises
    ------
    CompactionError
        A file may ask for one that fills the memory.
    """
    shapes = fx.node.map_arg((node.args, node.kwargs), lambda n: static[n].to("meta"))
    tensors = [static[operand] for operand in node.all_input_nodes]
    given = sum(t.numel() for t in tensors)
    try:
        with torch.no_grad():
            result = node.target(*shapes[0], **shapes[1])  # type: ignore[operator]
    except (NotImplementedError, RuntimeError):
        # Its size depends on values: a mask takes part of what is there, numbers may ask for more.
        numbers = (t for t in tensors if not t.is_floating_point() and t.dtype != torch.bool)
        return sum(float(t.double().abs().sum()) for t in numbers) * given <= MAX_CONSTANT
    if isinstance(result, Tensor) and result.numel() > max(MAX_CONSTANT, 4 * given):
        raise CompactionError(f"{op_name(node)} makes a constant of {result.numel():,} numbers.")
    return True
