"""The part of a group that lies in one weight tensor: its norms and its shortening, in place."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels.group_lasso import column_squares
from tl1bench.kernels.memory import layered, ordinary
from tl1bench.neurons.groups import TensorSlice


@dataclass(frozen=True, eq=False)
class SlicePart:
    """One piece made ready for reductions.

    `blocks` > 0 sets the blocks of rows of a grouped convolution apart; `kept` are the axes that
    hold the positions, `gone` the others, both of the tensor so viewed; `whole` says that the
    index is every position in order.
    """

    piece: TensorSlice
    index: Tensor
    blocks: int
    kept: tuple[int, ...]
    gone: tuple[int, ...]
    whole: bool

    @classmethod
    def of(cls, piece: TensorSlice, tensor: Tensor) -> SlicePart:
        """Prepare `piece` of `tensor`; the index moves to the tensor's device."""
        blocks = piece.blocks if piece.blocks > 1 and piece.dim == 1 else 0
        axes = range(tensor.dim() + bool(blocks))
        kept = tuple(axes[1:]) if piece.flat else (0, 2) if blocks else (piece.dim,)
        index = piece.index.to(tensor.device)
        part = cls(piece, index, blocks, kept, tuple(d for d in axes if d not in kept), False)
        sizes = part.view(tensor).shape
        every = torch.arange(math.prod(sizes[d] for d in kept), device=index.device)
        return dataclasses.replace(part, whole=torch.equal(index.reshape(-1), every))

    def view(self, tensor: Tensor) -> Tensor:
        """Return the tensor with the blocks of rows apart, where there are any."""
        if not self.blocks:
            return tensor
        return tensor.view(self.blocks, tensor.shape[0] // self.blocks, *tensor.shape[1:])

    def squares(self, tensor: Tensor) -> Tensor:
        """Return the sum of squares of each group's part here: (group,), at least float32."""
        at = self._at_positions(tensor)
        if self.whole and self.index.shape[1] == 1:
            return at
        return (at.view(self.index.shape) if self.whole else at[self.index]).sum(1)

    def _at_positions(self, tensor: Tensor) -> Tensor:
        dtype = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        layers = layered(tensor, self.kept[0]) if len(self.kept) == 1 else None
        if layers is None:
            view = self.view(tensor).to(dtype).square()
            return (view.sum(self.gone) if self.gone else view).reshape(-1)
        outer, positions, inner = layers.shape
        if outer == 1:
            found: Tensor = torch.linalg.vector_norm(layers[0], dim=1, dtype=dtype)
            return found.square_()
        matrix = layers.view(outer, positions * inner).to(dtype)
        squares = column_squares(matrix)
        found = matrix.square().sum(0) if squares is None else squares
        return found if inner == 1 else found.view(positions, inner).sum(1)

    def scale_(self, tensor: Tensor, factor: Tensor) -> None:
        """Multiply each group's part here by its factor."""
        each = self.index.shape[1]
        if self.whole:
            along = factor if each == 1 else factor.repeat_interleave(each)
        else:
            view = self.view(tensor)
            along = factor.new_ones(math.prod(view.shape[d] for d in self.kept))
            along[self.index] = factor[:, None].expand(-1, each)
        layers = layered(tensor, self.kept[0]) if len(self.kept) == 1 else None
        if layers is None:
            view = self.view(tensor)
            view.mul_(along.view([n if d in self.kept else 1 for d, n in enumerate(view.shape)]))
        elif layers.shape[0] == 1:
            layers[0].mul_(along[:, None])
        else:  # long rows: broadcasting over a short inner axis is slow
            outer, positions, inner = layers.shape
            long = along if inner == 1 else along.repeat_interleave(inner)
            layers.view(outer, positions * inner).mul_(long)


def rows_of(part: SlicePart, tensor: Tensor) -> Tensor | None:
    """Return the tensor as a matrix in whose rows each group is one stretch, for kernels."""
    if not part.whole or len(part.kept) > 1 or not ordinary(tensor):
        return None
    layers = layered(tensor, part.kept[0])
    return None if layers is None else layers.view(layers.shape[0], -1)
