"""Einsum of two tensors that both depend on the input; with a known matrix it is a layer."""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Ints
from tl1bench.tracing.graph import shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.product import Product


class Einsum(Product):
    """A product that names its axes: `bhnd,bhmd->bhnm` are queries times keys."""

    def operands(self, node: fx.Node) -> list[Any]:
        """Return the operands."""
        return list(node.args[1])  # type: ignore[arg-type]

    def letters(self, node: fx.Node) -> tuple[str, str, str] | None:
        """Return a letter for every axis; None for an equation that leaves some out."""
        read, _, result = str(node.args[0]).replace(" ", "").partition("->")
        names = [*read.split(","), result]
        if len(names) != 3 or not all(n.isalpha() and len(set(n)) == len(n) for n in names):
            return None
        return names[0], names[1], names[2]

    def products(self, node: fx.Node, state: Analysis) -> list[tuple[int, Ints]]:
        """One product for every combination of all letters."""
        found, letters = super().products(node, state), self.letters(node)
        if not found or letters is None:
            return found
        sizes: dict[str, int] = {}
        for names, operand in zip(letters, self.operands(node), strict=False):
            sizes.update(zip(names, shape_of(operand, batch=1), strict=True))
        return [(math.prod(sizes.values()), labels) for _, labels in found]


OPS: dict[str, Rule] = {"einsum": Einsum()}
