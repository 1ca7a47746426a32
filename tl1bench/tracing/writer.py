"""The ledger of the compact network: a new graph, sliced tensors under their old names.

It knows no rule: who writes a network goes through the calls and enters what each became.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from tl1bench.tracing import names
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints
from tl1bench.tracing.graph import is_batch
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
    """

    def __init__(self, state: Analysis, keep: Bools, folding: bool, gather: Gather) -> None:
        self.state, self.keep, self.folding, self.gather = state, keep, folding, gather
        self.graph = fx.Graph()
        self.root = nn.Module()
        self.layers: dict[fx.Node, SlicedLayer] = {}
        self._written: dict[fx.Node, fx.Node | None] = {}
        self._tensors: dict[str, tuple[fx.Node, Tensor]] = {}
        self._batch: fx.Node | None = None

    def enter_inputs(self) -> None:
        """Write the inputs of the network."""
        for node in self.state.traced.inputs:
            self._written[node] = self.graph.placeholder(str(node.target))

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
        module = fx.GraphModule(self.root, self.graph, class_name="Compacted")
        return module.eval()

    def _output(self, output: Any) -> Any:
        if not isinstance(output, fx.Node):
            return output
        if output in self.state.traced.static:
            return self.tensor(output, self.sliced(output, {}))
        return self.value(output)

    def value(self, node: Any) -> fx.Node | None:
        """Return what an operand has become; None when nothing of it is left."""
        assert isinstance(node, fx.Node)
        return self._written.get(node)

    def batch(self) -> fx.Node:
        """Return the batch size, read from the first input."""
        if self._batch is None:
            first = next(n for n in self.graph.nodes if n.op == "placeholder")
            self._batch = self.graph.call_function(torch.ops.aten.sym_size.int, (first, 0))
        return self._batch

    def argument(self, argument: Any) -> Any:
        """Rewrite one argument: nodes become what they are now, known tensors are kept whole."""
        return fx.node.map_arg(argument, self._operand)

    def _operand(self, node: fx.Node) -> Any:
        if node in self.state.traced.static:
            return self.tensor(node, self.sliced(node, {}))
        return self._written.get(node)

    def copy(self, node: fx.Node) -> fx.Node | None:
        """Write the call as it stands; None when an operand is gone."""
        if is_batch(node.meta.get("val")):
            return self.batch()
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
        """Keep `tensor` under the name that `node` has in the model."""
        traced = self.state.traced
        return self._register(
            traced.names.get(node, node.name), tensor,
            node in traced.parameters or (node not in traced.names and tensor.is_floating_point()),
        )  # fmt: skip

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
        stem, number = name, 0
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


def hold(root: nn.Module, name: str, tensor: torch.Tensor, learnt: bool) -> None:
    """Put a tensor into `root` under its dotted name, with plain modules on the way.

    Parameters
    ----------
    root
        The module.
    name
        Dotted name of the tensor.
    tensor
        What is held.
    learnt
        Whether it is a parameter; a buffer otherwise.
    """
    path, _, last = name.rpartition(".")
    holder = root
    for part in path.split(".") if path else []:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        holder = holder.get_submodule(part)
    if learnt:
        holder.register_parameter(last, nn.Parameter(tensor))
    else:
        holder.register_buffer(last, tensor)
