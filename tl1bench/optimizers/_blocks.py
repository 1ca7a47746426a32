"""Proxes of groups of weights where they lie: norms by reduction, no copies."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from tl1bench import compiled
from tl1bench.neurons import Groups, Slab
from tl1bench.penalties import Elementwise, Penalty, Radial
from tl1bench.penalties._base import Step
from tl1bench.penalties.group_lasso import GroupLasso

Steps: TypeAlias = Mapping[str, Step]

# Eight rows at a time in float32, then double: a quarter of the traffic, error still below 1e-6.
_SOURCE = """
#include <math.h>
void column_squares(const float *restrict w, long rows, long n, double *restrict out) {
    long i = 0;
    for (; i + 8 <= rows; i += 8) {
        const float *restrict v = w + i * n;
        for (long j = 0; j < n; j++) {
            float a = v[j] * v[j] + v[j + n] * v[j + n];
            float b = v[j + 2 * n] * v[j + 2 * n] + v[j + 3 * n] * v[j + 3 * n];
            float c = v[j + 4 * n] * v[j + 4 * n] + v[j + 5 * n] * v[j + 5 * n];
            float d = v[j + 6 * n] * v[j + 6 * n] + v[j + 7 * n] * v[j + 7 * n];
            out[j] += (a + b) + (c + d);
        }
    }
    for (; i < rows; i++)
        for (long j = 0; j < n; j++) {
            double v = w[i * n + j];
            out[j] += v * v;
        }
}

void group_lasso(float *restrict w, long rows, long n, long width, float amount, double *work) {
    float *restrict factor = (float *)(work + n);
    if (rows > 1) {
        for (long j = 0; j < n; j++)
            work[j] = 0;
        column_squares(w, rows, n, work);
    }
    for (long g = 0; g < n; g += width) {
        double total = 0;
        if (rows > 1) {
            for (long j = g; j < g + width; j++)
                total += work[j];
        } else {
            float lane[16] = {0};
            long j = g;
            for (; j + 16 <= g + width; j += 16)
                for (long k = 0; k < 16; k++)
                    lane[k] += w[j + k] * w[j + k];
            for (; j < g + width; j++)
                total += (double)w[j] * w[j];
            for (long k = 0; k < 16; k++)
                total += lane[k];
        }
        float norm = (float)sqrt(total), kept = norm > amount ? 1 - amount / norm : 0;
        for (long j = g; j < g + width; j++)
            factor[j] = kept;
    }
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < n; j++)
            w[i * n + j] *= factor[j];
}
"""
_SQUARES = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p)
_LASSO = (
    ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_float, ctypes.c_void_p,
)  # fmt: skip


def key_of(block: Groups) -> str:
    """Return what names a block while its sizes change: where its slabs lie."""
    return " ".join(f"{s.tensor}:{s.dim}:{s.flat:d}" for s in block.slabs)


def column_squares(w: Tensor) -> Tensor:
    """Return Σ w² of each column of a contiguous matrix; one pass where C can be had."""
    if w.dtype == torch.float32 and w.device.type == "cpu" and w.dim() == 2:
        kernel = compiled.function(_SOURCE, "column_squares", _SQUARES)
        if kernel is not None:
            out = torch.zeros(w.shape[1], dtype=torch.float64)
            kernel(w.data_ptr(), *w.shape, out.data_ptr())
            return out.float()
    return w.square().sum(0)


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


@dataclass(frozen=True, eq=False)
class Span:
    """One slab made ready for reductions.

    `blocks` > 0 sets the blocks of rows of a grouped convolution apart; `kept` are the axes that
    hold the positions, `gone` the others, both of the tensor so viewed; `whole` says that the
    index is every position in order.
    """

    slab: Slab
    index: Tensor
    blocks: int
    kept: tuple[int, ...]
    gone: tuple[int, ...]
    whole: bool

    @classmethod
    def of(cls, slab: Slab, tensor: Tensor) -> Span:
        """Prepare `slab` of `tensor`; the index moves to the tensor's device."""
        blocks = slab.blocks if slab.blocks > 1 and slab.dim == 1 else 0
        axes = range(tensor.dim() + bool(blocks))
        kept = tuple(axes[1:]) if slab.flat else (0, 2) if blocks else (slab.dim,)
        index = slab.index.to(tensor.device)
        span = cls(slab, index, blocks, kept, tuple(d for d in axes if d not in kept), False)
        sizes = span.view(tensor).shape
        every = torch.arange(math.prod(sizes[d] for d in kept), device=index.device)
        return dataclasses.replace(span, whole=torch.equal(index.reshape(-1), every))

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
        found = column_squares(layers.view(outer, positions * inner).to(dtype))
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


def group_lasso_(span: Span, tensor: Tensor, amount: float) -> bool:
    """Shorten the groups of one span by `amount` in one pass of C; False where that cannot be.

    A step of training asks for it layer by layer, and in torch a dozen small operations cost more
    than the weights of a small layer.
    """
    if not span.whole or len(span.kept) > 1:
        return False
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        return False
    kernel = compiled.function(_SOURCE, "group_lasso", _LASSO)
    layers = layered(tensor, span.kept[0]) if kernel is not None else None
    if kernel is None or layers is None:
        return False
    rows, positions, inner = layers.shape
    n, width = positions * inner, inner * span.index.shape[1]
    work = torch.empty(2 * n, dtype=torch.float64)
    kernel(layers.data_ptr(), rows, n, width, amount, work.data_ptr())
    return True


@dataclass(frozen=True, eq=False)
class Block:
    """Groups that share a layer and a size; `members` is their size in the original network."""

    groups: Groups
    spans: tuple[Span, ...]
    members: int

    @classmethod
    def of(cls, groups: Groups, tensors: Mapping[str, Tensor], members: int) -> Block:
        """Prepare `groups` of the tensors named."""
        spans = tuple(Span.of(slab, tensors[slab.tensor]) for slab in groups.slabs)
        return cls(groups, spans, members)

    def prox_(
        self, stage: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply the prox of `stage` with the named steps times `factor`, in place."""
        scale = stage.scale_for(self.members)
        step = steps[self.spans[0].slab.tensor]
        if not isinstance(step, Tensor) and step == 0:
            return
        if isinstance(step, Tensor):
            tensor_steps = {n: s for n, s in steps.items() if isinstance(s, Tensor)}
            step = self.groups.gather(tensor_steps)
        elif isinstance(stage, Radial):
            if isinstance(stage, GroupLasso) and len(self.spans) == 1:
                span, amount = self.spans[0], step * factor * stage.lam * scale
                if group_lasso_(span, tensors[span.slab.tensor], amount):
                    return
            squares = [span.squares(tensors[span.slab.tensor]) for span in self.spans]
            total = squares[0] if len(squares) == 1 else torch.stack(squares).sum(0)
            shorter = stage.factor(total.sqrt(), step * factor, scale)
            for span in self.spans:
                span.scale_(tensors[span.slab.tensor], shorter)
            return
        z = self.groups.gather(tensors)
        self.groups.scatter_(tensors, stage.prox(z, step * factor, scale))

    def value(self, stage: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `stage` on all these groups."""
        return stage.value(self.groups.gather(tensors), stage.scale_for(self.members)).sum()


@dataclass(frozen=True)
class Whole:
    """A weight tensor, every element by itself."""

    name: str

    def prox_(
        self, stage: Penalty, tensors: Mapping[str, Tensor], steps: Steps, factor: float
    ) -> None:
        """Apply the prox of elementwise `stage` with the named steps times `factor`, in place."""
        assert isinstance(stage, Elementwise)
        step = steps[self.name]
        if isinstance(step, Tensor) or step > 0:
            stage.prox_(tensors[self.name], step * factor)

    def value(self, stage: Penalty, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the value of `stage` on all elements."""
        return stage.value(tensors[self.name].reshape(1, -1)).sum()


Place: TypeAlias = Block | Whole
