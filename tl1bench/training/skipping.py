"""Weights that are held at zero are not multiplied: a layer costs what is left of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench.kernels.sparse import Geometry, Pattern, convolved
from tl1bench.optimizers import ProximalOptimizer

_Layer = nn.Conv2d | nn.Linear
_KINDS = (nn.Conv2d, nn.Linear)


@contextmanager
def zeros_skipped(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Let convolutions and linear layers skip the zeros that `optimizer` holds, while this lasts.

    Only on the CPU in float32, and only where it pays; the results are those of dense layers up
    to the order of summation.

    Parameters
    ----------
    model
        The network; its layers may be cut meanwhile.
    optimizer
        What trains it; nothing is done unless it holds zeros.
    """
    layers: list[_Layer] = []
    if isinstance(optimizer, ProximalOptimizer) and optimizer.frozen:
        layers = [m for m in model.modules() if isinstance(m, _Layer)]
        layers = [m for m in layers if type(m) in _KINDS and "forward" not in vars(m)]
    for layer in layers:
        layer.forward = _Skipping(layer, optimizer)  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


class _Skipping:
    """The forward pass of a layer, as long as its zeros are held."""

    def __init__(self, layer: _Layer, optimizer: torch.optim.Optimizer) -> None:
        self._layer, self._optimizer = layer, optimizer
        self._patterns: dict[tuple[Any, ...], Pattern] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as the forward pass of an ordinary layer."""
        return functools.partial, (type(self._layer).forward, self._layer)

    def __call__(self, x: Tensor) -> Tensor:
        layer: nn.Module = self._layer
        found = None if torch.compiler.is_compiling() else self._convolved(x)
        return type(layer).forward(layer, x) if found is None else found

    def _convolved(self, x: Tensor) -> Tensor | None:
        layer, weight = self._layer, self._layer.weight
        mask = self._optimizer.state.get(weight, {}).get("mask")
        geometry = _geometry(layer)
        if mask is None or geometry is None or type(x) is not Tensor or x.dim() != weight.dim():
            return None
        if not weight.is_cpu:  # a card would have to wait for its pattern
            return None
        key = (*x.shape, *weight.shape, *weight.stride(), mask.data_ptr(), mask._version)
        if key not in self._patterns:
            self._patterns = {key: Pattern(mask, weight, tuple(x.shape), geometry)}
        pattern = self._patterns[key]
        return convolved(x, weight, layer.bias, pattern) if pattern.pays else None


def _geometry(layer: _Layer) -> Geometry | None:
    if not isinstance(layer, nn.Conv2d):
        return Geometry()
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    (a, b), (c, d), (e, f) = layer.stride, layer.padding, layer.dilation
    return Geometry((a, b), (c, d), (e, f), layer.groups)
