"""The part of a group that lies in one weight tensor: its norms and its shortening, in place."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.tl1 import POINT, Packed
from tl1bench.neurons import Slab

# Eight rows at a time in float32, then double: a quarter of the traffic, error still below 1e-6.
_SOURCE = (
    POINT
    + """
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

// Multiply each group by its factor and, if told, shrink what comes out, in one pass.
static void shorten(
    float *restrict w, long rows, long n, long width, const float *restrict factor,
    const struct tl1 *then, float *restrict along
) {
    if (rows == 1 && width >= 64) {
        for (long g = 0; g < n / width; g++) {
            float *restrict v = w + g * width, f = factor[g];
            if (then) {
                struct tl1 k = *then;
                for (long j = 0; j < width; j++)
                    v[j] = tl1_point(v[j] * f, k);
            } else
                for (long j = 0; j < width; j++)
                    v[j] *= f;
        }
        return;
    }
    for (long g = 0; g < n / width; g++)
        for (long j = 0; j < width; j++)
            along[g * width + j] = factor[g];
    for (long i = 0; i < rows; i++) {
        float *restrict v = w + i * n;
        if (then) {
            struct tl1 k = *then;
            for (long j = 0; j < n; j++)
                v[j] = tl1_point(v[j] * along[j], k);
        } else
            for (long j = 0; j < n; j++)
                v[j] *= along[j];
    }
}

void scale(
    float *restrict w, long rows, long n, long width, const float *restrict factor,
    const struct tl1 *then, float *restrict work
) {
    shorten(w, rows, n, width, factor, then, work);
}

void group_lasso(
    float *restrict w, long rows, long n, long width, float amount, const struct tl1 *then,
    double *restrict work
) {
    float *restrict factor = (float *)(work + n), *restrict along = factor + n;
    if (rows > 1) {
        for (long j = 0; j < n; j++)
            work[j] = 0;
        column_squares(w, rows, n, work);
    }
    for (long g = 0; g < n / width; g++) {
        double total = 0;
        const float *restrict v = w + g * width;
        if (rows > 1) {
            for (long j = 0; j < width; j++)
                total += work[g * width + j];
        } else {
            float lane[16] = {0};
            long j = 0;
            for (; j + 16 <= width; j += 16)
                for (long k = 0; k < 16; k++)
                    lane[k] += v[j + k] * v[j + k];
            for (; j < width; j++)
                total += (double)v[j] * v[j];
            for (long k = 0; k < 16; k++)
                total += lane[k];
        }
        float norm = (float)sqrt(total);
        factor[g] = norm > amount ? 1 - amount / norm : 0;
    }
    shorten(w, rows, n, width, factor, then, along);
}
"""
)
_ROWS = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long)
_SQUARES = (*_ROWS, ctypes.c_void_p)
_SCALE = (*_ROWS, ctypes.c_long, *[ctypes.c_void_p] * 3)
_LASSO = (*_ROWS, ctypes.c_long, ctypes.c_float, *[ctypes.c_void_p] * 2)


def column_squares(w: Tensor) -> Tensor:
    """Return Σ w² of each column of a contiguous matrix; one pass where C can be had."""
    if w.dtype == torch.float32 and w.device.type == "cpu" and w.dim() == 2:
        kernel = build.function(_SOURCE, "column_squares", _SQUARES)
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


def group_lasso_(span: Span, tensor: Tensor, amount: float, then: Packed | None = None) -> bool:
    """Shorten the groups of one span by `amount`, and shrink the weights by TL1 `then`, in C.

    A step of training asks for it layer by layer: in torch a dozen small operations cost more than
    the weights of a small layer, and each pass over a large one waits for memory. False where it
    cannot be, and then nothing was done.
    """
    rows = rows_of(span, tensor)
    kernel = build.function(_SOURCE, "group_lasso", _LASSO) if rows is not None else None
    if rows is None or kernel is None:
        return False
    n = rows.shape[1]
    work = torch.empty(2 * n, dtype=torch.float64)
    kernel(rows.data_ptr(), *rows.shape, n // len(span.index), amount, then, work.data_ptr())
    return True


def scale_and_shrink_(span: Span, tensor: Tensor, factor: Tensor, then: Packed) -> bool:
    """Multiply each group's part by its factor and shrink the weights by TL1 `then`, in C.

    False where it cannot be, and then nothing was done.
    """
    rows = rows_of(span, tensor)
    kernel = build.function(_SOURCE, "scale", _SCALE) if rows is not None else None
    if rows is None or kernel is None:
        return False
    n = rows.shape[1]
    work, factor = torch.empty(n), factor.float().contiguous()
    width = n // len(span.index)
    kernel(rows.data_ptr(), *rows.shape, width, factor.data_ptr(), then, work.data_ptr())
    return True


def rows_of(span: Span, tensor: Tensor) -> Tensor | None:
    """Return the tensor as a matrix in whose rows each group is one stretch, for C to walk over."""
    if not span.whole or len(span.kept) > 1 or not tensor.numel():
        return None
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        return None
    layers = layered(tensor, span.kept[0])
    return None if layers is None else layers.view(layers.shape[0], -1)
