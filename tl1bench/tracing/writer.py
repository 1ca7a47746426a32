"""The ledger of the compact network: a new graph, sliced tensors under their old names.

It knows no rule: who writes a network goes through the calls and enters what each became.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from tl1bench.tracing import agreement, calling, free, names
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints
from tl1bench.tracing.holding import hold
from tl1bench.tracing.sharing import Shelf
from tl1bench.tracing.sliced import Gather, SlicedLayer


class Emitter:
    """Writes one compact graph; the rules call it for what they need.

    Parameters
    ----------
    state
        The passes over the network.
    keep
        (label,) which channels stay.
    folding
        Whether constants are folded into what reads them.
    gather
        Where an index picks live inputs.
    align
        Of what number a multiple is read where some inputs are.
    """

    def __init__(
        self, state: Analysis, keep: Bools, folding: bool, gather: Gather, align: int = 1
    ) -> None:
        self.state, self.keep, self.folding = state, keep, folding
        self.gather, self.align = gather, align
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.layers: dict[fx.Node, SlicedLayer] = {}
        self._computing: dict[fx.Node, tuple[fx.Node, Tensor]] = {}
        self._shelf = Shelf(state.traced, state.places, keep)
        self._written: dict[fx.Node, fx.Node | None] = {}
        self._tensors: dict[str, tuple[fx.Node, Tensor]] = {}
        self._symbols = free.Symbols(self.graph, state.traced.inputs, self._written)

    def enter_inputs(self) -> None:
        """Write the arguments of the network, and take them apart."""
        for name, value in self.state.traced.called.items():
            calling.take(name, value, self.graph.placeholder(name), self._written)

    def enter(self, node: fx.Node, written: fx.Node | None) -> None:
        """Take down what a call has become; None when nothing of it is left."""
        self._written[node] = written

    def close(self) -> fx.GraphModule:
        """Write the outputs, drop what none of them needs, and return the module."""
        traced = self.state.traced
        outputs = [self._output(o) for o in traced.outputs]
        self.graph.output(pytree.tree_unflatten(outputs, traced.out_spec))
        self.graph.eliminate_dead_code()
        names.check_tensors(self._tensors)
        return fx.GraphModule(self.root, self.graph, class_name="Compacted").eval()

    def _output(self, output: Any) -> Any:
        if not isinstance(output, fx.Node):
            return output
        static = output in self.state.traced.static
        found = self.tensor(output, self.sliced(output, {})) if static else self.value(output)
        assert found is not None, f"The output {output.name} is lost: please report this."
        return found

    def value(self, node: Any) -> fx.Node | None:
        """Return what an operand has become; None when nothing of it is left."""
        assert isinstance(node, fx.Node)
        return self._written.get(node)

    def size(self, size: torch.SymInt) -> fx.Node:
        """Return a free size, computed from those of the inputs."""
        return free.computed(free.stand_in(size), self._symbols)  # type: ignore[no-any-return]

    def sizes(self, sizes: Sequence[int]) -> list[Any]:
        """Return the sizes of a view as it takes them, of numbers of `free.stand_in`."""
        return free.written(sizes, self._symbols)

    def argument(self, argument: Any) -> Any:
        """Rewrite one argument: nodes become what they are now, known tensors are kept whole."""
        return fx.node.map_arg(argument, self._operand)

    def _operand(self, node: fx.Node) -> Any:
        if node in self.state.traced.static:
            return self.tensor(node, self.sliced(node, {}))
        return self._written.get(node)

    def copy(self, node: fx.Node) -> fx.Node | None:
        """Write the call as it stands; None when an operand is gone."""
        size = node.meta.get("val")
        if isinstance(size, torch.SymInt) and self._symbols.cover(size):
            return self.size(size)
        operands = [o for o in node.all_input_nodes if o not in self.state.traced.static]
        if any(self._written.get(o) is None for o in operands):
            return None
        return self.write(
            node.target, node, self.argument(node.args), self.argument(dict(node.kwargs))
        )

    def call(self, node: fx.Node, args: tuple[Any, ...]) -> fx.Node:
        """Write the same operation with other arguments."""
        return self.write(node.target, node, args, dict(node.kwargs))

    def write(
        self,
        target: Any,
        node: fx.Node,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> fx.Node:
        """Write a call of `target` that takes over the name of `node`.

        Parameters
        ----------
        target
            The operation.
        node
            The call that it stands for.
        args, kwargs
            What it is given, nodes of the new graph among it.

        Returns
        -------
        Node
            In the new graph.
        """
        return self.graph.create_node("call_function", target, args, kwargs or {}, name=node.name)

    def select(self, node: fx.Node, source: fx.Node, axis: int, order: Ints) -> fx.Node:
        """Write `source` with its channels in the given order.

        Parameters
        ----------
        node
            The call that it stands for.
        source
            A node of the new graph.
        axis
            Where its channels lie.
        order
            (channel,) positions to take.

        Returns
        -------
        Node
            In the new graph.
        """
        if len(order) > 1 and np.array_equal(order, np.arange(order[0], order[-1] + 1)):
            start, stop = int(order[0]), int(order[-1]) + 1
            return self.write(torch.ops.aten.slice.Tensor, node, (source, axis, start, stop, 1))
        index = self.index(node, order)
        return self.write(torch.ops.aten.index_select.default, node, (source, axis, index))

    def kept(self, known: Flow) -> Ints:
        """Positions of the channels that stay."""
        return np.flatnonzero(self.keep[known.ids])

    def sliced(self, node: fx.Node, kept: dict[int, Ints]) -> Tensor:
        """Return a known tensor with only the kept positions along the given dimensions."""
        tensor = self.state.traced.static[node]
        for dim, index in kept.items():
            if len(index) < tensor.shape[dim]:
                tensor = tensor.index_select(dim, torch.from_numpy(index).to(tensor.device))
        return tensor

    def tensor(self, node: fx.Node, tensor: Tensor) -> fx.Node:
        """Write what is left of a known tensor: one that is stored, or a call that computes it."""
        traced = self.state.traced
        if node not in traced.stored:
            written, value = self._computed(node)
            if torch.equal(value, tensor) or (
                value.is_floating_point() and agreement.same(value, tensor)
            ):
                return written
        return self._register(traced.names.get(node, node.name), tensor, node in traced.parameters)

    def _computed(self, node: fx.Node) -> tuple[fx.Node, Tensor]:
        """Write the calls that compute what is left of a known tensor; return it beside."""
        waiting = [node]
        while waiting:
            last = waiting[-1]
            missing = [o for o in last.all_input_nodes if o not in self._computing]
            if missing and last not in self.state.traced.stored:
                waiting += missing
                continue
            waiting.pop()
            if last not in self._computing:
                self._computing[last] = self._compute(last)
        return self._computing[node]

    def _compute(self, node: fx.Node) -> tuple[fx.Node, Tensor]:
        if node in self.state.traced.stored:
            left = self._shelf.left(node)
            return self.tensor(node, left), left
        now = {operand: self._computing[operand] for operand in node.all_input_nodes}
        target, args = self._shelf.call(node, node.args)
        written = self.write(
            target, node,
            fx.node.map_arg(args, lambda operand: now[operand][0]),
            fx.node.map_arg(dict(node.kwargs), lambda operand: now[operand][0]),
        )  # fmt: skip
        args, kwargs = fx.node.map_arg((args, dict(node.kwargs)), lambda o: now[o][1])
        with torch.no_grad():
            return written, target(*args, **kwargs)

    def constant(self, node: fx.Node, tensor: Tensor) -> fx.Node:
        """Keep `tensor` as a buffer that stands for the value of `node`."""
        return self._register(f"{node.name}_constant", tensor, False)

    def bias(self, matrix: fx.Node, tensor: Tensor) -> fx.Node:
        """Keep a bias for a layer that had none."""
        name = self.state.traced.names.get(matrix, matrix.name)
        stem, _, last = name.rpartition(".")
        own = "bias" if last == "weight" else f"{last}_bias"
        return self._register(f"{stem}.{own}" if stem else own, tensor, True)

    def index(self, node: fx.Node, order: Ints) -> fx.Node:
        """Keep the index that a selection for `node` takes."""
        return self._register(f"{node.name}_index", torch.from_numpy(order.copy()), False)

    def _register(self, name: str, tensor: Tensor, learnt: bool) -> fx.Node:
        # A call may have the name of a module's own, such as `to`.
        stem = name = name if names.is_tensor(name) else f"{name}_tensor"
        number = 0
        while name in self._tensors:
            node, known = self._tensors[name]
            if known.shape == tensor.shape and torch.equal(known, tensor):
                return node
            number += 1
            name = f"{stem}_{number}"
        own = tensor.detach().clone(memory_format=torch.contiguous_format)
        hold(self.root, name, own, learnt)
        node = self.graph.create_node("get_attr", name)
        self._tensors[name] = (node, tensor)
        return node
