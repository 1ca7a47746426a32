"""Weights that are held at zero are not multiplied: a layer costs what is left of it.

Nor are channels that are not there: dense kernels take sixteen at a time, and a network that is cut
while it is trained soon has fewer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench.kernels.convolved import convolved
from tl1bench.kernels.sparse import Geometry, Pattern, narrow
from tl1bench.optimizers import ProximalOptimizer

_Layer = nn.Conv2d | nn.Linear
_KINDS = (nn.Conv2d, nn.Linear)


@contextmanager
def zeros_skipped(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Let convolutions and linear layers skip the zeros that `optimizer` holds, while this lasts.

    Only on the CPU in float32, and only where it pays; convolutions of few channels go the same
    way whether zeros are held or not. The results are those of dense layers up to the order of
    summation.

    Parameters
    ----------
    model
        The network; its layers may be cut meanwhile.
    optimizer
        What trains it.
    """
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
    """The forward pass of a layer, which finds out at each call what it need not do."""

    def __init__(self, layer: _Layer, optimizer: torch.optim.Optimizer) -> None:
        self._layer, self._optimizer = layer, optimizer
        self._patterns: dict[tuple[Any, ...], Pattern | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as the forward pass of an ordinary layer."""
        return functools.partial, (type(self._layer).forward, self._layer)

    def __call__(self, x: Tensor) -> Tensor:
        layer: nn.Module = self._layer
        found = None if torch.compiler.is_compiling() else self._convolved(x)
        return type(layer).forward(layer, x) if found is None else found

    def _convolved(self, x: Tensor) -> Tensor | None:
        layer, weight = self._layer, self._layer.weight
        geometry = _geometry(layer)
        if geometry is None or type(x) is not Tensor or x.dim() != weight.dim():
            return None
        mask = self._mask(weight)
        # A card would have to wait for its pattern.
        if not weight.is_cpu or (mask is None and not narrow(weight, geometry)):
            return None
        written = (0, 0) if mask is None else (mask.data_ptr(), mask._version)
        key = (*x.shape, *weight.shape, *weight.stride(), *written)
        if key not in self._patterns:
            kept = torch.ones_like(weight) if mask is None else mask
            self._patterns = {key: Pattern.of(kept, weight, x.shape, geometry)}
        pattern = self._patterns[key]
        return None if pattern is None else convolved(x, weight, layer.bias, pattern)

    def _mask(self, weight: Tensor) -> Tensor | None:
        optimizer = self._optimizer
        if not (isinstance(optimizer, ProximalOptimizer) and optimizer.frozen):
            return None
        found: Tensor | None = optimizer.state.get(weight, {}).get("mask")
        return found


def _geometry(layer: _Layer) -> Geometry | None:
    if not isinstance(layer, nn.Conv2d):
        return Geometry()
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    (a, b), (c, d), (e, f) = layer.stride, layer.padding, layer.dilation
    return Geometry((a, b), (c, d), (e, f), layer.groups)
