"""An argument of a compact network, taken apart into the tensors and constants that it holds.

Tensors are found by `getitem`. A constant has decided what was traced, so that another one is
refused; so is a list, tuple or dict of another length. All of this is Python around the tensors: a
network that is traced again has none of it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx


def take(name: str, value: Any, written: fx.Node, inputs: dict[fx.Node, fx.Node | None]) -> None:
    """Write how the inputs in an argument are found, and what must hold of all else in it.

    Parameters
    ----------
    name
        The argument, in words.
    value
        What it is made of: an input, a constant, or lists, tuples and dicts of them.
    written
        The argument in the new graph.
    inputs
        Takes what each input has become.
    """
    graph = written.graph
    if isinstance(value, fx.Node):
        inputs[value] = written
    elif isinstance(value, dict | list | tuple):
        count = graph.call_function(len, (written,))
        _require(operator.eq, count, len(value), f"{name} must hold {len(value)} values")
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            place = graph.call_function(operator.getitem, (written, key))
            take(f"{name}[{key!r}]", part, place, inputs)
    else:
        test = operator.is_ if value is None else operator.eq
        _require(test, written, value, f"{name} must be {value!r}")


def _require(test: Callable[..., Any], written: fx.Node, value: Any, sentence: str) -> None:
    told = f"{sentence}, as when the network was traced."
    held = written.graph.call_function(test, (written, value))
    written.graph.call_function(torch._assert, (held, told))
