"""Weights that are zero are not multiplied: a layer costs what is left of it.

Nor are channels that are not there: dense kernels take sixteen at a time, and a network that is cut
while it is trained soon has fewer. What is pooled next has its images side by side, which is how
pooling is quickest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from tl1bench.kernels.convolved import convolved
from tl1bench.kernels.direct import Direct
from tl1bench.kernels.linear import Places, multiplied, worth
from tl1bench.kernels.maps import Geometry
from tl1bench.kernels.pool import pooled
from tl1bench.kernels.sparse import Pattern, narrow
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.forwards import Forward, replaced

_Held = Callable[[Tensor], Tensor | None]
"""The mask of a weight of which zeros are held, or None where they may come back."""

# Above this share of its weights a convolution that may take all of them does so.
_ALL = 0.4
_PATIENCE = 32  # calls of a dense layer before its zeros are counted again


def zeros_skipped(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> AbstractContextManager[None]:
    """Let layers skip zeros while this lasts: convolutions those that `optimizer` holds.

    Linear layers skip all that are there at a call; where they may come back, the gradient of the
    weight is that of a dense layer. Only on the CPU in float32, and only where it pays;
    convolutions of few channels go the same way whether zeros are held or not, and so do the pools
    behind them. The results are those of dense layers up to the order of summation.

    Parameters
    ----------
    model
        The network; its layers may be cut meanwhile.
    optimizer
        What trains it.

    Returns
    -------
    context manager
        Afterwards the layers are as they were.
    """
    return _skipped(model, functools.partial(_mask, optimizer))


def all_zeros_skipped(model: nn.Module) -> AbstractContextManager[None]:
    """Let layers skip the zeros that are there now, for as long as nothing trains the network.

    Otherwise as `zeros_skipped`.

    Parameters
    ----------
    model
        The network.

    Returns
    -------
    context manager
        Afterwards the layers are as they were.
    """
    masks: dict[Tensor, Tensor] = {p: (p.detach() != 0).to(p.dtype) for p in model.parameters()}
    return _skipped(model, lambda weight: masks.get(weight))


def _skipped(model: nn.Module, held: _Held) -> AbstractContextManager[None]:
    before = set(_before_pools(model))

    def convolution(layer: nn.Conv2d) -> Forward:
        return _Convolution(layer, held, pooled_next=layer in before)

    def linear(layer: nn.Linear) -> Forward:
        return _Linear(layer, held)

    return replaced(model, {nn.Conv2d: convolution, nn.Linear: linear, nn.MaxPool2d: _Pooling})


def _before_pools(model: nn.Module) -> Iterator[nn.Module]:
    """Yield convolutions that a pool seems to follow: it decides how results lie, not what."""
    leaves = [m for m in model.modules() if not isinstance(m, nn.ReLU | nn.Dropout | nn.Sequential)]
    for layer, following in pairwise(leaves):
        if type(layer) is nn.Conv2d and type(following) is nn.MaxPool2d and _halves(following):
            yield layer


class _Convolution(Forward):
    def __init__(self, layer: nn.Conv2d, held: _Held, *, pooled_next: bool) -> None:
        super().__init__(layer)
        self._of, self._held, self._pooled_next = layer, held, pooled_next
        self._ways: dict[tuple[Any, ...], Pattern | Direct | None] = {}

    def found(self, x: Tensor) -> Tensor | None:
        layer, weight = self._of, self._of.weight
        geometry = _geometry(layer)
        # A card would have to wait for its pattern.
        if geometry is None or x.dim() != weight.dim() or not weight.is_cpu:
            return None
        mask = self._held(weight)
        if mask is None and not self._pooled_next and not narrow(weight, geometry):
            return None
        written = (0, 0) if mask is None else (mask.data_ptr(), mask._version)
        key = (*x.shape, *weight.shape, *weight.stride(), *written)
        if key not in self._ways:
            self._ways = {key: self._way(weight, mask, x, geometry)}
        way = self._ways[key]
        return None if way is None else convolved(x, weight, layer.bias, way)

    def _way(
        self, weight: Tensor, mask: Tensor | None, x: Tensor, geometry: Geometry
    ) -> Pattern | Direct | None:
        share = 1.0 if mask is None else int(mask.count_nonzero()) / max(1, mask.numel())
        if self._pooled_next and share > _ALL:
            whole = Direct.of(weight, x.shape, geometry)
            if whole is not None:
                return whole
        if mask is None and not narrow(weight, geometry):
            return None
        kept = torch.ones_like(weight) if mask is None else mask
        return Pattern.of(kept, weight, x.shape, geometry, side_by_side=self._pooled_next)


class _Linear(Forward):
    def __init__(self, layer: nn.Linear, held: _Held) -> None:
        super().__init__(layer)
        self._of, self._held = layer, held
        self._seen: tuple[tuple[Any, ...], Places | None] = (), None
        self._rest = 0

    def found(self, x: Tensor) -> Tensor | None:
        weight = self._of.weight
        if not weight.is_cpu or not worth(x, weight) or x.shape[1] != weight.shape[1]:
            return None
        mask = self._held(weight)
        places = self._now(weight) if mask is None else self._kept(mask)
        if places is None:
            return None
        return multiplied(x, weight, self._of.bias, places, held=mask is not None)

    def _kept(self, mask: Tensor) -> Places | None:
        key = (mask.data_ptr(), mask._version, mask.shape)
        if self._seen[0] != key:
            self._seen = key, Places.of(mask)
        return self._seen[1]

    def _now(self, weight: Tensor) -> Places | None:
        if self._rest:
            self._rest -= 1
            return None
        found = Places.of(weight)
        self._rest = _PATIENCE if found is None else 0
        return found


class _Pooling(Forward):
    def __init__(self, layer: nn.MaxPool2d) -> None:
        super().__init__(layer)
        self._of = layer

    def found(self, x: Tensor) -> Tensor | None:
        return pooled(x) if _halves(self._of) else None


def _halves(pool: nn.MaxPool2d) -> bool:
    kernel, stride, padding, dilation = (
        v if isinstance(v, tuple) else (v, v)
        for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    plain = kernel == stride == (2, 2) and padding == (0, 0) and dilation == (1, 1)
    return plain and not pool.ceil_mode and not pool.return_indices


def _mask(optimizer: torch.optim.Optimizer, weight: Tensor) -> Tensor | None:
    """Return what `optimizer` holds of a weight, or None where zeros may come back."""
    if not (isinstance(optimizer, ProximalOptimizer) and optimizer.frozen):
        return None
    found: Tensor | None = optimizer.state.get(weight, {}).get("mask")
    return found


def _geometry(layer: nn.Conv2d) -> Geometry | None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    (a, b), (c, d), (e, f) = layer.stride, layer.padding, layer.dilation
    return Geometry((a, b), (c, d), (e, f), layer.groups)
