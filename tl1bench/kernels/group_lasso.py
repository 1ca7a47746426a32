"""The prox of the group lasso, in C, on matrices in whose rows each group is one stretch.

With one step τ for all weights of a group, x = (1 − τ/‖z‖)₊ z. With a step τ_i for each weight a
group is zero where ‖(z_i/τ_i)_i‖ ≤ 1, else x_i = r z_i/(r + τ_i) with the r > 0 that makes
‖(z_i/(r+τ_i))_i‖ = 1, found by Newton from below. The torch twins are in
`tl1bench.penalties.group_lasso`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.memory import Rows, apart, plain, written
from tl1bench.kernels.momentum import QUEUE, Queue
from tl1bench.kernels.tl1 import PACKED, Packed

# What a penalty `fuses` whose prox `then` transformed ℓ1 is one pass of `shorten_`.
WITH_TL1 = "group lasso, then transformed l1"
_ONE, _EACH = "group_lasso.c", "group_lasso_diagonal.c"
_SQUARES = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_void_p)
_LASSO = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_float, ctypes.c_void_p, QUEUE)
_DIAGONAL = (ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_double, ctypes.c_void_p)
_SIZES = (("rows", ctypes.c_long), ("n", ctypes.c_long), ("width", ctypes.c_long))


class _Part(ctypes.Structure):
    _fields_ = (("w", ctypes.c_void_p), *_SIZES, ("then", PACKED))


class _PartWithSteps(ctypes.Structure):
    _fields_ = (("w", ctypes.c_void_p), ("step", ctypes.c_void_p), *_SIZES)


def _matrix(*rows: Tensor, groups: int = 1) -> bool:
    """Whether all are plain matrices whose columns split evenly into groups."""
    return (
        groups > 0
        and plain(*rows)
        and all(w.dim() == 2 and w.is_contiguous() and w.shape[1] % groups == 0 for w in rows)
    )


def column_squares(w: Tensor) -> Tensor | None:
    """Return Σ w² of each column of a matrix, float32, in one pass; None where C cannot go."""
    kernel = build.function(_ONE, "column_squares", _SQUARES) if _matrix(w) else None
    if kernel is None:
        return None
    out = torch.zeros(w.shape[1], dtype=torch.float64)
    kernel(w.data_ptr(), *w.shape, out.data_ptr())
    return out.float()


def shorten_(
    rows: Sequence[Tensor],
    groups: int,
    amount: float,
    then: Sequence[Packed | None] | None = None,
    meanwhile: Queue | None = None,
) -> bool:
    """Shorten groups by `amount`, and shrink the weights that are left by transformed ℓ1, in place.

    A step of training asks for it layer by layer: in torch a dozen small operations cost more than
    the weights of a small layer, and each pass over a large one waits for memory.

    Parameters
    ----------
    rows
        The parts of the groups, matrices (row, column) float32; group g is columns g·n/groups to
        (g+1)·n/groups of each.
    groups
        Number of groups.
    amount
        τ: step, λ and s_g together.
    then
        Constants of the shrinkage of each part, from `tl1.packed`; None for none.
    meanwhile
        Other weights, which may be moved on the way.

    Returns
    -------
    bool
        False where C cannot go, and then nothing was done.
    """
    kernel = build.function(_ONE, "group_lasso", _LASSO)
    parts = _parts(rows, groups)
    if kernel is None or parts is None:
        return False
    for part, constants in zip(parts, then or [None] * len(rows), strict=True):
        part.then = None if constants is None else ctypes.pointer(constants)
    work = (ctypes.c_double * (2 * groups + max(part.n for part in parts)))()
    kernel(parts, len(parts), groups, amount, work, meanwhile)
    written(*rows)
    return True


def _parts(rows: Sequence[Tensor], groups: int) -> ctypes.Array[_Part] | None:
    """Return matrices as the kernel takes them; None where it cannot."""
    kept: dict[int, ctypes.Array[_Part]] = rows.tables if isinstance(rows, Rows) else {}
    if groups not in kept:
        if not rows or not _matrix(*rows, groups=groups) or not apart(*rows):
            return None
        kept[groups] = (_Part * len(rows))(
            *(_Part(w.data_ptr(), *w.shape, w.shape[1] // groups) for w in rows)
        )
    return kept[groups]


def shorten_each_(
    rows: Sequence[Tensor], steps: Sequence[Tensor], groups: int, amount: float
) -> bool:
    """Apply the prox with the steps times `amount` to groups in place.

    Parameters
    ----------
    rows
        The parts of the groups, each as for `shorten_`.
    steps
        The step of each weight, in matrices alike.
    groups
        Number of groups.
    amount
        λ and s_g together.

    Returns
    -------
    bool
        False where C cannot go, and then nothing was done.
    """
    if not rows or not _matrix(*rows, *steps, groups=groups):
        return False
    if [w.shape for w in rows] != [s.shape for s in steps] or not apart(*rows, *steps):
        return False
    kernel = build.function(_EACH, "group_lasso_diagonal", _DIAGONAL)
    if kernel is None:
        return False
    parts = (_PartWithSteps * len(rows))()
    for part, w, step in zip(parts, rows, steps, strict=True):
        part.w, part.step = w.data_ptr(), step.data_ptr()
        part.rows, part.n = w.shape
        part.width = w.shape[1] // groups
    work = torch.empty(5 * groups, dtype=torch.float64)
    kernel(parts, len(parts), groups, amount, work.data_ptr())
    written(*rows)
    return True
