"""Tensors as kernels see them: what may be handed over by its address, and in which shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_KINDS = (Tensor, nn.Parameter)


def ordinary(*tensors: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the address of each means what a kernel takes it for, on whatever device.

    That is so for ordinary tensors of `dtype` with something in them, whose memory is there and
    whose history autograd does not want to know. A subclass may keep its numbers anywhere.
    """
    if torch.compiler.is_compiling():  # what looks like a tensor here is a name in a graph
        return False
    recorded = torch.is_grad_enabled()
    return all(_is_ordinary(t, dtype) and not (recorded and t.requires_grad) for t in tensors)


def plain(*tensors: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether these are `ordinary` and on the CPU, where C can go."""
    return ordinary(*tensors, dtype=dtype) and all(t.is_cpu for t in tensors)


def _is_ordinary(t: Tensor, dtype: torch.dtype) -> bool:
    return (
        type(t) in _KINDS
        and t.layout is torch.strided
        and t.dtype is dtype
        and t.numel() > 0
        and not (t.is_nested or t.is_neg() or t.is_inference())
        and _is_there(t)
    )


def _is_there(t: Tensor) -> bool:
    """Whether a tensor without holes has all its memory: sharding takes it away at times."""
    try:
        room = t.untyped_storage().nbytes()
    except NotImplementedError:  # a stand-in of torch.func
        return False
    return room >= t.itemsize * (t.storage_offset() + t.numel()) and t.data_ptr() != 0


class Rows(list[Tensor]):
    """Matrices for kernels, and in `tables` what a kernel made of them once it had looked at them.

    Who keeps them asks by `lying` whether their memory is still what they were made from.
    """

    def __init__(self, matrices: Iterable[Tensor]) -> None:
        super().__init__(matrices)
        self.tables: dict[int, Any] = {}


def lying(tensors: Sequence[Tensor]) -> list[tuple[Any, ...]] | None:
    """Return where tensors lie and how: what is equal, kernels may take as they took it before.

    None where they cannot be told by their addresses, or autograd wants to know their history.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    if any(type(t) not in _KINDS for t in tensors):
        return None
    try:
        return [(t.data_ptr(), t.shape, t.stride(), t.dtype) for t in tensors]
    except RuntimeError:  # a stand-in of torch.func
        return None


def apart(*tensors: Tensor) -> bool:
    """Whether no two of these dense plain tensors share memory: C assumes that none do."""
    spans = sorted((t.data_ptr(), t.numel() * t.itemsize) for t in tensors)
    return all(start + size <= after for (start, size), (after, _) in itertools.pairwise(spans))


def in_step(first: Tensor, *others: Tensor) -> bool:
    """Whether one loop over memory goes over these ordinary tensors alike.

    They have one shape and layout without holes, and none lies where another does.
    """
    alike = all(t.shape == first.shape and t.stride() == first.stride() for t in others)
    dense = first.is_contiguous() or flat_view(first) is not None
    return alike and dense and apart(first, *others)


def written(*tensors: Tensor) -> None:
    """Tell autograd that C wrote to these, as it knows of torch's own writing."""
    torch.autograd.graph.increment_version(tensors)


def number(value: float | Tensor, t: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a number as a tensor on the device of `t`: filled in there, not copied there.

    A card has to wait for a copy.

    Parameters
    ----------
    value
        A number; a tensor keeps its shape.
    t
        Whose device is taken, and dtype where `dtype` is not given.
    dtype
        Of the result.

    Returns
    -------
    Tensor
        A scalar.
    """
    dtype = dtype or t.dtype
    if isinstance(value, Tensor):
        return value.to(t.device, dtype)
    return torch.full((), value, dtype=dtype, device=t.device)


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


def shard(t: Tensor) -> Tensor:
    """Return the part of a sharded tensor that lies here, in its memory; `t` where it is whole."""
    if type(t) in _KINDS or not torch.distributed.is_available():
        return t
    from torch.distributed.tensor import DTensor  # slow to import, and few have one

    return t.to_local() if isinstance(t, DTensor) else t


def alike(rows: Iterable[tuple[Tensor, ...]]) -> Iterator[list[list[Tensor]]]:
    """Yield the columns of `rows`: of those that begin with a whole tensor, then of the sharded.

    torch's operations over lists take no mixture.
    """
    whole: list[tuple[Tensor, ...]] = []
    sharded: list[tuple[Tensor, ...]] = []
    for row in rows:
        (whole if shard(row[0]) is row[0] else sharded).append(row)
    for found in (whole, sharded):
        if found:
            yield [list(column) for column in zip(*found, strict=True)]


def summed(here: Tensor, t: Tensor) -> Tensor:
    """Return the sum over all processes of what each found `here` in its shard of `t`."""
    if shard(t) is t:
        return here
    from torch.distributed.tensor import DTensor, Partial, Replicate

    assert isinstance(t, DTensor)
    kinds = [Replicate() if p.is_replicate() else Partial() for p in t.placements]
    return DTensor.from_local(here, t.device_mesh, kinds).full_tensor()
