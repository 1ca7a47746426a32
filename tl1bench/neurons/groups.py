"""Slices of tensors, units, and the groups of weights that a penalty sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TensorSlice:
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
    produced: tuple[TensorSlice, ...]
    consumed: tuple[TensorSlice, ...]
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
    slices: tuple[TensorSlice, ...]
    _whole: tuple[bool, ...] = field(default=(), repr=False)

    def gather(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the weights, one row a group: (count, members)."""
        parts = [
            self._rows(piece, parameters[piece.tensor], whole)
            for piece, whole in zip(self.slices, self._whole, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    @torch.no_grad()
    def scatter_(self, parameters: Mapping[str, Tensor], values: Tensor) -> None:
        """Write `values` (count, members) back to where `gather` reads them, in place."""
        start = 0
        for piece, whole in zip(self.slices, self._whole, strict=True):
            home = parameters[piece.tensor]
            view = piece.view(home)
            width = piece.index.shape[1] * (view.numel() // _positions(piece, view))
            part = values[:, start : start + width]
            start += width
            if whole:
                view.copy_(part.reshape(view.shape))
            elif piece.blocks > 1:
                first, second = _split(piece, view)
                view[first, second] = part.reshape(-1, *view.shape[2:])
            else:
                index = piece.index.reshape(-1).to(view.device)
                view.index_copy_(0, index, part.reshape(-1, *view.shape[1:]))
            if piece.flat and not home.is_contiguous():  # flattening copied
                home.copy_(view.movedim(0, 1).reshape(home.shape))

    def _rows(self, piece: TensorSlice, tensor: Tensor, whole: bool) -> Tensor:
        view = piece.view(tensor)
        if not whole and piece.blocks > 1:
            view = view[_split(piece, view)]
        elif not whole:
            view = view.index_select(0, piece.index.reshape(-1).to(view.device))
        return view.reshape(self.count, -1)


def _positions(piece: TensorSlice, view: Tensor) -> int:
    return view.shape[0] * view.shape[1] if piece.blocks > 1 else view.shape[0]


def _split(piece: TensorSlice, view: Tensor) -> tuple[Tensor, Tensor]:
    index = piece.index.reshape(-1).to(view.device)
    return index // view.shape[1], index % view.shape[1]


def make_groups(
    layer: int, layers: int, slices: Sequence[TensorSlice], shapes: Mapping[str, torch.Size]
) -> Groups:
    """Make a block of groups from slices of equal count; `shapes` are those of the parameters.

    Parameters
    ----------
    layer
        The weight layer that the block is attributed to.
    layers
        Number of weight layers.
    slices
        Slices of equal count.
    shapes
        Shapes of the parameters by name.

    Returns
    -------
    Groups
        The block.
    """
    members, whole = 0, []
    for piece in slices:
        view = piece.view(torch.empty(shapes[piece.tensor], device="meta"))
        positions = _positions(piece, view)
        members += piece.index.shape[1] * (view.numel() // positions)
        whole.append(
            piece.index.numel() == positions
            and bool((piece.index.reshape(-1) == torch.arange(positions)).all())
        )
    return Groups(layer, layers, slices[0].index.shape[0], members, tuple(slices), tuple(whole))
