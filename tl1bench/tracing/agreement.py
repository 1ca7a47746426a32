"""The one idea of "the same function": how far two results differ, and how far they may.

Two results agree when |a − b| / max(1, max |a|), the largest over all elements of all outputs,
stays below the tolerance of the way in which they were computed:

* `FLOAT64`: two networks in float64. Constants fold without rounding that could be seen, so
  anything above 1e-10 is another function.
* `rounding(dtype, depth)`: two networks in one precision whose sums run in another order. A layer
  sums up to ten thousand terms, whose roundings grow like their root, and layers add up: 100 ε for
  each layer that lies behind another.
* `ONNXRUNTIME`: other kernels, other orders, fused operations, in float32.

A classifier's predictions agree when no decided one changed: where the two best scores are closer
than twice what results may differ, rounding alone says which of them is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

FLOAT64 = 1e-10
ONNXRUNTIME = 1e-4


def rounding(dtype: torch.dtype, depth: int = 1) -> float:
    """Return the tolerance for networks of `dtype` with `depth` layers behind each other.

    It is never above that of onnxruntime, where `dtype` is float32 or better.
    """
    allowed = 100 * torch.finfo(dtype).eps * max(1, depth)
    return allowed if dtype in (torch.float16, torch.bfloat16) else min(allowed, ONNXRUNTIME)


def leaves(value: Any) -> list[Tensor]:
    """Return the tensors in a result of any structure, in order."""
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def difference(expected: Any, found: Any) -> float:
    """Return max |expected − found| / max(1, max |expected|) over all outputs.

    Infinite where the outputs are not as many, not of the same shapes, or not finite together.
    """
    pairs = _pairs(leaves(expected), leaves(found))
    if pairs is None:
        return float("inf")
    return max((_gap(a, b) for a, b in pairs), default=0.0)


def same(expected: Any, found: Any, depth: int = 1) -> bool:
    """Whether results in one precision differ by rounding alone; see `rounding`.

    Parameters
    ----------
    expected, found
        Results of any structure.
    depth
        Layers behind each other.

    Returns
    -------
    bool
        Whether they do.
    """
    pairs = _pairs(leaves(expected), leaves(found))
    if pairs is None:
        return False
    real = [(a, b) for a, b in pairs if a.is_floating_point()]
    return all(_gap(a, b) <= rounding(a.dtype, depth) for a, b in real)


def changed_predictions(expected: Tensor, found: Tensor, tolerance: float) -> int:
    """Count the decided predictions that differ.

    Parameters
    ----------
    expected, found
        Scores (example, class); of anything else nothing is predicted.
    tolerance
        How far results may differ, relative to max(1, max |expected|).

    Returns
    -------
    int
        Examples whose best class differs, though it was ahead by more than rounding can move.
    """
    if expected.dim() != 2 or expected.shape[1] < 2:
        return 0
    best = expected.sort(dim=1).values[:, -2:]
    decided = best[:, 1] - best[:, 0] > 2 * tolerance * max(1.0, float(expected.abs().max()))
    return int(((found.argmax(1) != expected.argmax(1)) & decided).sum())


def _pairs(
    expected: Sequence[Tensor], found: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]] | None:
    pairs = list(zip(expected, found, strict=False))
    if len(expected) != len(found) or any(a.shape != b.shape for a, b in pairs):
        return None
    return pairs


def _gap(a: Tensor, b: Tensor) -> float:
    if not a.numel():
        return 0.0
    gap = float((b - a).abs().max()) / max(1.0, float(a.abs().max()))
    return gap if gap == gap else float("inf")  # not a number is no agreement
