"""One file a family of operations; what has no rule here is opaque: kept whole, and reported.

A module in this folder whose name has no leading underscore gives `OPS`, the rules of ATen
operations by name, and where it has any `FUNCTIONS`, those of Python functions in a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import fx

from tl1bench import plugins
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules import opaque
from tl1bench.tracing.rules._base import Rule

_FOLDER = "tracing/rules"


@cache
def operations() -> dict[str, Rule]:
    """Return the rule of every ATen operation that has one, by name."""
    return {name: rule for module in _modules() for name, rule in module.OPS.items()}


@cache
def _functions() -> dict[Callable[..., Any], Rule]:
    found = (vars(module).get("FUNCTIONS", {}) for module in _modules())
    return {function: rule for of_module in found for function, rule in of_module.items()}


def _modules() -> list[Any]:
    return [plugins.load_module(_FOLDER, name, "rule") for name in plugins.module_names(_FOLDER)]


def rule_of(node: fx.Node) -> Rule:
    """Return the rule for a call; the opaque one when there is none."""
    if isinstance(node.target, torch._ops.OpOverload):
        return operations().get(op_name(node), opaque.OPAQUE)
    rules = _functions()
    return rules.get(node.target, opaque.SCALAR) if callable(node.target) else opaque.SCALAR
