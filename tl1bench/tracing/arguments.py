"""The arguments of a traced call by name, and example inputs as a tuple."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx


def as_tuple(inputs: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return example inputs as a tuple, where a single one may come alone."""
    return (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)


def given(node: fx.Node) -> dict[str, Any]:
    """Return the arguments that an ATen call gives, by their names, in the schema's order."""
    schema = _schema(node)
    named = dict(zip((a.name for a in schema.arguments), node.args, strict=False))
    return {**named, **node.kwargs}


def complete(node: fx.Node) -> dict[str, Any]:
    """Return all arguments of an ATen call by name, defaults put in where it gives none."""
    defaults = {a.name: a.default_value for a in _schema(node).arguments if a.has_default_value()}
    return {**defaults, **given(node)}


def positional(node: fx.Node, upto: str) -> dict[str, Any]:
    """Return arguments to be given by position: as far as any is given, at least up to `upto`."""
    arguments, own = _schema(node).arguments, given(node)
    last = max(i for i, a in enumerate(arguments) if a.name in own or a.name == upto)
    return {a.name: own.get(a.name, a.default_value) for a in arguments[: last + 1]}


def node_of(argument: Any) -> fx.Node:
    """Return the argument, which must be a node."""
    assert isinstance(argument, fx.Node)
    return argument


def _schema(node: fx.Node) -> Any:
    assert isinstance(node.target, torch._ops.OpOverload)
    return node.target._schema
