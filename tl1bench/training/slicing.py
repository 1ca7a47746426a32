"""Slicing the parameters of a live network and its optimiser, and putting everything back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Axis = tuple[str, int]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def slice_tensors(
    tensors: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer | None,
    step: Mapping[Axis, Tensor],
) -> None:
    """Slice parameters, buffers and what the optimiser holds of the same shape, in place.

    Parameters
    ----------
    tensors
        Parameters and buffers by name.
    optimizer
        What trains them; None for nothing.
    step
        Positions that are left, by (tensor, axis).
    """
    for name in dict.fromkeys(axis[0] for axis in step):
        tensor, shape = tensors[name], tensors[name].shape
        cuts = [(dim, index) for (other, dim), index in step.items() if other == name]
        tensor.data = _cut(tensor.data, cuts)
        tensor.grad = None
        state = optimizer.state.get(tensor, {}) if optimizer is not None else {}
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == shape and value.dim():
                state[key] = _cut(value, cuts)


def _cut(tensor: Tensor, cuts: Iterable[tuple[int, Tensor]]) -> Tensor:
    for dim, index in cuts:
        tensor = tensor.index_select(dim, index.to(tensor.device))
    return tensor


def correct_sizes(model: nn.Module, groups: Mapping[nn.Module, int]) -> None:
    """Bring the sizes that modules note about themselves in line with their weights."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, _CONVOLUTIONS):
            if groups[module] > 1 and groups[module] == module.in_channels:
                module.groups = module.weight.shape[0] * groups[module] // module.out_channels
            module.out_channels = module.weight.shape[0]
            module.in_channels = module.weight.shape[1] * module.groups
        elif isinstance(module, _TRANSPOSED) and module.groups == 1:
            module.in_channels, module.out_channels = module.weight.shape[:2]
        elif isinstance(module, _NORMS):
            vector = module.weight if module.weight is not None else module.running_mean
            module.num_features = module.num_features if vector is None else vector.shape[0]
        elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.embedding_dim = module.weight.shape[1]
        elif isinstance(module, nn.PReLU):
            module.num_parameters = module.weight.numel()


class Backup:
    """All that `shrink` may change, by reference: slicing makes new tensors, so this is free."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> None:
        self._data = [(t, t.data, t.grad) for t in [*model.parameters(), *model.buffers()]]
        self._states: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        if optimizer is not None:
            self._states = [(s, dict(s)) for s in optimizer.state.values() if isinstance(s, dict)]
        self._model = model
        self.groups: dict[nn.Module, int] = {
            m: m.groups for m in model.modules() if isinstance(m, _CONVOLUTIONS)
        }

    def restore(self) -> None:
        """Put everything back."""
        for tensor, data, grad in self._data:
            tensor.data = data
            tensor.grad = grad
        for state, old in self._states:
            state.update(old)
        for module, groups in self.groups.items():
            assert isinstance(module, _CONVOLUTIONS)
            module.groups = groups
            # The channel count must not look depthwise while it is computed again.
            module.in_channels = -1
        correct_sizes(self._model, self.groups)
