"""Forward passes of layers, replaced for a while by ones that give the same in less time."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Forward(ABC):
    """The forward pass of a layer, which finds out at each call how it may go.

    Parameters
    ----------
    layer
        Whose.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as the forward pass of an ordinary layer."""
        return functools.partial, (type(self._layer).forward, self._layer)

    def __call__(self, x: Tensor) -> Any:
        """Return what the layer makes of `x`."""
        quick = type(x) is Tensor and x.is_cpu and not torch.compiler.is_compiling()
        found = self.found(x) if quick else None
        return type(self._layer).forward(self._layer, x) if found is None else found

    @abstractmethod
    def found(self, x: Tensor) -> Tensor | None:
        """Return what the layer makes of `x`, on the CPU, or None for the layer's own way."""


@contextmanager
def replaced(
    model: nn.Module, ways: Mapping[type[nn.Module], Callable[[Any], Forward]]
) -> Iterator[None]:
    """Give layers other forward passes while this lasts; what a user has replaced stays.

    Parameters
    ----------
    model
        The network; its layers may be cut meanwhile.
    ways
        What makes the forward pass of a layer, by what kind of layer exactly.
    """
    layers = [m for m in model.modules() if type(m) in ways and "forward" not in vars(m)]
    for layer in layers:
        layer.forward = ways[type(layer)](layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
