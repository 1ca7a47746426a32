"""Slabs of tensors, units, and the groups of weights that a penalty sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Slab:
    """Where one family of units lives in one tensor.

    Axis `dim` of `tensor` (a name in named_parameters or named_buffers) is laid out by unit:
    `index` (G, k) int64 holds the k positions of unit g; k > 1 after a flatten. `blocks` > 1 is the
    input side of a grouped convolution: position q·n+p means slice p of the q-th block of rows.
    `flat`: positions run over all axes but the first, together (the groups of `as_coded`).
    """

    tensor: str
    dim: int
    index: Tensor
    blocks: int = 1
    flat: bool = False

    def view(self, tensor: Tensor) -> Tensor:
        """Return `tensor` as a view with the positions first: (positions, …), or (blocks, n, …)."""
        if self.flat:
            return tensor.flatten(1).movedim(1, 0)
        if self.blocks > 1 and self.dim == 1:
            # (blocks, rows, n, …) with the slices before the rows
            split: Tensor = tensor.unflatten(0, (self.blocks, -1))
            return split.movedim(2, 1)
        return tensor.movedim(self.dim, 0)


@dataclass(frozen=True, eq=False)
class Units:
    """A family of `count` units, one for each class of channels that live or die together.

    `produced` are the rows, filters, biases and normalisation vectors that make a unit, `consumed`
    the columns and input-channel slices that read it. `removable` is False for inputs and outputs
    of the network and for what an operation without a rule pins.
    """

    count: int
    produced: tuple[Slab, ...]
    consumed: tuple[Slab, ...]
    removable: bool


@dataclass(frozen=True, eq=False)
class Groups:
    """A block of `count` groups of `members` weights each: what a group penalty sees.

    `layer` of `layers` is the weight layer, first to last, that the block is attributed to.
    """

    layer: int
    layers: int
    count: int
    members: int
    slabs: tuple[Slab, ...]
    _whole: tuple[bool, ...] = field(default=(), repr=False)

    def gather(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the weights, one row a group: (count, members)."""
        parts = [
            self._rows(slab, parameters[slab.tensor], whole)
            for slab, whole in zip(self.slabs, self._whole, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    @torch.no_grad()
    def scatter_(self, parameters: Mapping[str, Tensor], values: Tensor) -> None:
        """Write `values` (count, members) back to where `gather` reads them, in place."""
        start = 0
        for slab, whole in zip(self.slabs, self._whole, strict=True):
            home = parameters[slab.tensor]
            view = slab.view(home)
            width = slab.index.shape[1] * (view.numel() // _positions(slab, view))
            part = values[:, start : start + width]
            start += width
            if whole:
                view.copy_(part.reshape(view.shape))
            elif slab.blocks > 1:
                first, second = _split(slab, view)
                view[first, second] = part.reshape(-1, *view.shape[2:])
            else:
                index = slab.index.reshape(-1).to(view.device)
                view.index_copy_(0, index, part.reshape(-1, *view.shape[1:]))
            if slab.flat and not home.is_contiguous():  # flattening copied
                home.copy_(view.movedim(0, 1).reshape(home.shape))

    def _rows(self, slab: Slab, tensor: Tensor, whole: bool) -> Tensor:
        view = slab.view(tensor)
        if not whole and slab.blocks > 1:
            view = view[_split(slab, view)]
        elif not whole:
            view = view.index_select(0, slab.index.reshape(-1).to(view.device))
        return view.reshape(self.count, -1)


def _positions(slab: Slab, view: Tensor) -> int:
    return view.shape[0] * view.shape[1] if slab.blocks > 1 else view.shape[0]


def _split(slab: Slab, view: Tensor) -> tuple[Tensor, Tensor]:
    index = slab.index.reshape(-1).to(view.device)
    return index // view.shape[1], index % view.shape[1]


def make_groups(
    layer: int, layers: int, slabs: Sequence[Slab], shapes: Mapping[str, torch.Size]
) -> Groups:
    """Make a block of groups from slabs of equal count; `shapes` are those of the parameters."""
    members, whole = 0, []
    for slab in slabs:
        view = slab.view(torch.empty(shapes[slab.tensor], device="meta"))
        positions = _positions(slab, view)
        members += slab.index.shape[1] * (view.numel() // positions)
        whole.append(
            slab.index.numel() == positions
            and bool((slab.index.reshape(-1) == torch.arange(positions)).all())
        )
    return Groups(layer, layers, slabs[0].index.shape[0], members, tuple(slabs), tuple(whole))
