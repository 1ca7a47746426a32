"""Tensors as C sees them: what may be handed over by its address, and in which shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

_KINDS = (Tensor, nn.Parameter)


def plain(*tensors: Tensor) -> bool:
    """Whether all are ordinary dense float32 tensors on the CPU with something in them.

    A subclass may keep its numbers anywhere, so its address means nothing.
    """
    return all(
        type(t) in _KINDS
        and t.dtype == torch.float32
        and t.device.type == "cpu"
        and t.layout == torch.strided
        and t.numel() > 0
        for t in tensors
    )


def flat_view(z: Tensor) -> Tensor | None:
    """Return the storage of `z` as one dimension, or None where it has holes or overlaps."""
    if z.is_contiguous():
        return z.view(-1)
    order = sorted(range(z.dim()), key=lambda d: (z.stride(d), z.size(d)), reverse=True)
    dense = z.permute(order)
    return dense.view(-1) if dense.is_contiguous() else None


def layered(tensor: Tensor, dim: int) -> Tensor | None:
    """Return a dense tensor as a view (outer, positions along `dim`, inner) of its memory.

    None where the tensor has holes or overlaps.
    """
    order: Sequence[int] = range(tensor.dim())
    if not tensor.is_contiguous():
        order = sorted(order, key=lambda d: (tensor.stride(d), tensor.size(d)), reverse=True)
    dense = tensor.permute(*order)
    if not dense.is_contiguous():
        return None
    at = order.index(dim)
    return dense.view(math.prod(dense.shape[:at]), dense.shape[at], -1)
