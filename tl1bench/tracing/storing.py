"""Which known tensors a network stores: those it came with, or those made of them once and for all.

A tensor that no input reaches can be stored as it is, or computed anew from the stored ones by the
calls that the network has. The network as it came stores what it was given. From there on a tensor
is stored instead of all that nobody needs for anything else then, if that is no more in any of
three senses: learnt numbers, numbers, bytes. So w * mask takes the place of both, one
w / ‖w‖ that of w; a second reading wᵀ of a stored w, or a look-up b[:, i] of a small table,
stays a call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from torch import Tensor, fx

from tl1bench.tracing.channels import Ints


def readings(graph: fx.Graph, static: Mapping[fx.Node, Tensor]) -> Counter[fx.Node]:
    """Count how often calls that depend on an input, and the outputs, name each known tensor."""
    found: Counter[fx.Node] = Counter()
    for node in graph.nodes:
        if node not in static:
            fx.node.map_arg((node.args, node.kwargs), lambda n: found.update([n]))
    return Counter({node: count for node, count in found.items() if node in static})


def stored(
    read: Iterable[fx.Node], static: Mapping[fx.Node, Tensor], learnt: frozenset[fx.Node]
) -> frozenset[fx.Node]:
    """Return which known tensors are stored.

    Parameters
    ----------
    read
        The tensors that are needed.
    static
        Every known tensor; what is no call was given with the network.
    learnt
        Those that are parameters.

    Returns
    -------
    frozenset of Node
        From these all of `read` can be computed.
    """
    store = _Store(read, static, learnt)
    for node in [n for n in static if n.op == "call_function" and store.is_candidate(n)]:
        store.put([node])
    for node in [n for n in static if n in store.stored]:
        store.put(store.next_to(node))
    return frozenset(store.stored)


class _Store:
    """What is stored, and how many calls or readers need each tensor."""

    def __init__(
        self, read: Iterable[fx.Node], static: Mapping[fx.Node, Tensor], learnt: frozenset[fx.Node]
    ) -> None:
        self.static, self.read = static, frozenset(read)
        self.uses: Counter[fx.Node] = Counter(self.read)
        self.stored: set[fx.Node] = set()
        self._learnt = learnt
        waiting = list(self.read)
        while waiting:
            node = waiting.pop()
            if node.op != "call_function":
                self.stored.add(node)
                continue
            for operand in node.all_input_nodes:
                if not self.uses[operand]:
                    waiting.append(operand)
                self.uses[operand] += 1

    def is_candidate(self, node: fx.Node) -> bool:
        """Whether a call is read, or what several others are made of."""
        return node in self.read or self.uses[node] > 1

    def next_to(self, node: fx.Node) -> list[fx.Node]:
        """Return what is read and made of `node` alone, if that is all that `node` is for."""
        found: list[fx.Node] = []
        for user in self._makes(node):
            made = user
            while not self.is_candidate(made):
                (made,) = self._makes(made)
            found.append(made)
        return [] if node in self.read else list(dict.fromkeys(found))

    def _makes(self, node: fx.Node) -> list[fx.Node]:
        return [user for user in node.users if self.uses[user] and user not in self.stored]

    def put(self, nodes: Sequence[fx.Node]) -> None:
        """Store `nodes` instead of what nobody needs any more then, unless that is more."""
        freed: list[fx.Node] = []
        released: list[fx.Node] = []
        if not nodes or any(node in self.stored for node in nodes):
            return
        waiting = [operand for node in nodes for operand in node.all_input_nodes]
        self.stored.update(nodes)
        while waiting:
            operand = waiting.pop()
            self.uses[operand] -= 1
            released.append(operand)
            if self.uses[operand] or operand in nodes:
                continue
            if operand in self.stored:
                freed.append(operand)
            else:
                waiting += operand.all_input_nodes
        if not (self._cost(nodes) <= self._cost(freed)).all():
            self.stored.difference_update(nodes)
            self.uses.update(released)
        else:
            self.stored.difference_update(freed)

    def _cost(self, nodes: Iterable[fx.Node]) -> Ints:
        """Learnt numbers, numbers and bytes of some tensors."""
        total = np.zeros(3, dtype=np.int64)
        for node in nodes:
            tensor = self.static[node]
            count = tensor.numel()
            total += (count * (node in self._learnt), count, count * tensor.element_size())
        return total


def computed(
    read: Iterable[fx.Node], static: Mapping[fx.Node, Tensor], stored: frozenset[fx.Node]
) -> tuple[fx.Node, ...]:
    """Return the calls that make what is read of what is stored.

    Parameters
    ----------
    read
        The tensors that are needed.
    static
        Every known tensor.
    stored
        Those that need no call.

    Returns
    -------
    tuple of Node
        In execution order.
    """
    found: set[fx.Node] = set()
    waiting = list(read)
    while waiting:
        node = waiting.pop()
        if node not in stored and node not in found:
            found.add(node)
            waiting += node.all_input_nodes
    return tuple(node for node in static if node in found)


def made_of(static: Mapping[fx.Node, Tensor], learnt: Iterable[fx.Node]) -> frozenset[fx.Node]:
    """Return what is learnt, and what is real and made of it."""
    found = set(learnt)
    for node, tensor in static.items():  # operands come before what is made of them
        if tensor.is_floating_point() and any(o in found for o in node.all_input_nodes):
            found.add(node)
    return frozenset(found)
