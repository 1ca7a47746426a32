"""Sizes that are free: of the batch, of a sequence, of an image, and what follows from them.

A product of sizes is a plain number here: each free size has a prime that divides no size of a
network in its place, and so has each expression in free sizes that is no product, such as
⌊(h − 1)/2⌋ + 1. Two sizes are the same where their numbers are, and a view that splits or merges
axes is arithmetic.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch.utils._sympy.functions import FloorDiv, Mod, PythonMod

from tl1bench.errors import CompactionError

_FIRST = 1_000_003
_TAKEN: dict[int, sympy.Expr] = {}


def _primes() -> Iterator[int]:
    yield from (n for n in itertools.count(_FIRST, 2)
                if all(n % d for d in range(3, math.isqrt(n) + 1, 2)))  # fmt: skip


_PRIMES = _primes()


class Symbols:
    """The free sizes that are sizes of inputs, each read once from an input in a new graph.

    Parameters
    ----------
    graph
        The new graph.
    inputs
        Of the network.
    written
        What each has become in the new graph.
    """

    def __init__(
        self, graph: fx.Graph, inputs: Sequence[fx.Node], written: Mapping[fx.Node, Any]
    ) -> None:
        self._graph, self._written = graph, written
        self._known: dict[sympy.Symbol, fx.Node] = {}
        self._places: dict[sympy.Symbol, tuple[fx.Node, int, int, int]] = {}
        for node in inputs:
            for dim, size in enumerate(node.meta["val"].shape):
                own = size.node.expr.free_symbols if isinstance(size, torch.SymInt) else ()
                for symbol in own if len(own) == 1 else ():
                    factor = size.node.expr.coeff(symbol)
                    rest = size.node.expr - factor * symbol
                    if factor.is_Integer and rest.is_Integer:  # 4 * h of a Dim, say
                        place = node, dim, int(factor), int(rest)
                        self._places.setdefault(symbol, place)

    def cover(self, size: torch.SymInt) -> bool:
        """Whether a size is made of those of the inputs, and not of what flows."""
        return all(symbol in self._places for symbol in size.node.expr.free_symbols)

    def __contains__(self, symbol: sympy.Expr) -> bool:
        return symbol in self._places

    def __getitem__(self, symbol: sympy.Symbol) -> fx.Node:
        if symbol not in self._known:
            node, dim, factor, rest = self._places[symbol]
            write, operands = self._graph.call_function, (self._written[node], dim)
            found = write(torch.ops.aten.sym_size.int, operands)
            found = write(operator.sub, (found, rest)) if rest else found
            found = write(operator.floordiv, (found, factor)) if factor != 1 else found
            self._known[symbol] = found
        return self._known[symbol]


@functools.cache
def _prime(unit: sympy.Expr) -> int:
    found = next(_PRIMES)
    _TAKEN[found] = unit
    return found


def stand_in(size: int | torch.SymInt) -> int:
    """Return the number in the place of a size."""
    if isinstance(size, int):
        return size
    found = 1
    for factor in sympy.Mul.make_args(size.node.expr):
        base, power = factor.as_base_exp()
        if factor.is_Integer:
            found *= int(factor)
        elif power.is_Integer and power > 0:
            found *= _prime(base) ** int(power)
        else:
            found *= _prime(factor)
    return found


def is_free(size: int) -> bool:
    """Whether a number stands for a free size, or for a product with one."""
    return size >= _FIRST and any(size % prime == 0 for prime in _TAKEN)


def written(sizes: Sequence[int], symbols: Symbols) -> list[Any]:
    """Return the sizes of a view as it takes them: −1 for a free one, calls for all others.

    Parameters
    ----------
    sizes
        Numbers of `stand_in`.
    symbols
        Those that are sizes of inputs.

    Returns
    -------
    list of int or Node
        At most one of them is −1.
    """
    free = [size for size in sizes if is_free(size)]
    if len(free) == 1:
        return [-1 if is_free(size) else size for size in sizes]
    return [computed(size, symbols) if is_free(size) else size for size in sizes]


def computed(size: int, symbols: Symbols) -> Any:
    """Write the call that computes a size from those of the inputs (arguments: see `written`)."""
    expression: sympy.Expr = sympy.Integer(1)
    for prime, unit in _TAKEN.items():
        while size % prime == 0:
            expression, size = expression * unit, size // prime
    return _call(expression * size, symbols)


def _call(expression: sympy.Expr, symbols: Symbols) -> fx.Node | int:
    if expression.is_Integer:
        return int(expression)
    if expression in symbols:
        return symbols[expression]
    operands = [_call(part, symbols) for part in expression.args]
    for kind, operation in _OPERATIONS.items():
        if isinstance(expression, kind):
            return functools.reduce(lambda a, b: _apply(operation, a, b), operands)
    raise CompactionError(
        f"A size is {expression}, which cannot be computed from the inputs' sizes."
    )


def _apply(operation: Any, a: fx.Node | int, b: fx.Node | int) -> fx.Node | int:
    owner = next((value for value in (a, b) if isinstance(value, fx.Node)), None)
    if owner is None:
        return int(operation(a, b))
    return owner.graph.call_function(operation, (a, b))


_OPERATIONS: dict[type, Any] = {
    sympy.Add: operator.add,
    sympy.Mul: operator.mul,
    sympy.Pow: operator.pow,
    FloorDiv: operator.floordiv,
    Mod: operator.mod,
    PythonMod: operator.mod,
}
