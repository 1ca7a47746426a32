"""A step's two passes over weights on a CUDA device: what may go there, and the launches.

Pass one moves weights with momentum, shrinks them where the penalty of single weights comes first,
and adds up the squares of each group. From these a penalty finds the factor of each group, by
torch. Pass two multiplies by it and shrinks single weights. No pass waits for the device: sizes are
known beforehand and no number is read back. The kernels are in `_card_passes`; Triton is
imported when they are first asked for, and where it cannot launch anything here, they are not used.

On the CPU this is used only where TRITON_INTERPRET=1 asks for Triton's interpreter, which is slow
and there for tests.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from tl1bench.kernels.memory import ordinary, written
from tl1bench.kernels.momentum import Momentum
from tl1bench.kernels.tl1 import Packed

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
_TILE = 2048  # weights that a program holds at once
_LINE = 128  # of them side by side, where groups are
_PROGRAMS = 1024  # enough for any card; a fixed number, so that sums do not depend on it
_REST = Momentum(0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Point:
    """The prox of single weights that a pass can do: transformed ℓ1, ℓ1, or none.

    `kind` is 0 for none, 1 for transformed ℓ1 with the five `tl1.constants`, 2 for ℓ1 with the
    threshold alone.
    """

    kind: int = 0
    constants: tuple[float, ...] = (0.0,) * 5

    @classmethod
    def of(cls, packed: Packed | None) -> Point:
        """Return what transformed ℓ1 with constants from `tl1.packed` is; none for None."""
        return cls() if packed is None else cls(1, tuple(packed))

    @classmethod
    def soft(cls, threshold: float) -> Point:
        """Return soft thresholding at `threshold` ≥ 0."""
        return cls(2, (threshold, 0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Move:
    """A gradient step by `rule`; gradient and momentum are matrices like the weights.

    Where keep is 0, `v` is not looked at.
    """

    g: Tensor
    v: Tensor
    rule: Momentum


@dataclass(frozen=True)
class _Shape:
    """How a matrix of weights is cut into tiles of groups and members."""

    kept: int
    gone: int
    step_kept: int
    step_gone: int
    each: int  # neighbouring columns that make one group
    block_kept: int
    block_gone: int

    @classmethod
    def of(cls, rows: Tensor, groups: int) -> _Shape:
        """Read (row, column) weights in whose rows each group is one stretch."""
        count, n = rows.shape
        if count == 1:  # members side by side
            gone = n // groups
            block = min(_power(gone), _TILE)
            return cls(groups, gone, gone, 1, 1, min(_power(groups), _TILE // block), block)
        block = min(_power(n), _LINE)
        return cls(n, count, 1, n, n // groups, block, min(_power(count), _TILE // block))

    @property
    def span(self) -> int:
        """Members that one program of pass one goes over."""
        tiles = -(-self.gone // self.block_gone)
        turns = min(tiles, max(1, _PROGRAMS // -(-self.kept // self.block_kept)))
        return -(-tiles // turns) * self.block_gone


def holds(t: Tensor) -> bool:
    """Whether a tensor lies on a card, or the interpreter stands in for one."""
    return t.is_cuda or (_INTERPRETED and t.is_cpu)


def takes(*tensors: Tensor) -> bool:
    """Whether passes can go over these: ordinary float32 tensors on one card, with numbers."""
    return (
        bool(tensors)
        and all(holds(t) and t.device == tensors[0].device for t in tensors)
        and ordinary(*tensors)
        and _passes() is not None
    )


def first_pass_(
    rows: Tensor, groups: int, move: Move | None = None, point: Point | None = None
) -> Tensor:
    """Move weights, shrink them, and return Σ w² of each group, in one pass.

    Parameters
    ----------
    rows
        (row, column) weights, contiguous, that `takes` says yes to; group g is columns
        g·n/groups to (g+1)·n/groups.
    groups
        Number of groups; 0 for none, where the squares do not matter.
    move
        The gradient step; None for none.
    point
        The prox of single weights, before the squares are taken; None for none.

    Returns
    -------
    Tensor
        (group,) float32; the same bits every time.
    """
    shape, point = _Shape.of(rows, max(1, groups)), point or Point()
    turns = -(-shape.gone // shape.span)
    partial = rows.new_empty((turns, shape.kept) if groups else (0,))
    g, v, rule = (rows, rows, _REST) if move is None else (move.g, move.v, move.rule)
    grid = (-(-shape.kept // shape.block_kept) * turns,)
    with torch.cuda.device_of(rows):
        _there().first[grid](
            rows, g, v, partial, shape.kept, shape.gone, shape.step_kept, shape.step_gone,
            shape.span, rule.keep, rule.share, rule.decay, rule.lr, *point.constants,
            MOVE=move is not None, MOMENTUM=rule.keep != 0, DECAY=rule.decay != 0,
            KIND=point.kind, SQUARES=groups > 0, BLOCK_KEPT=shape.block_kept,
            BLOCK_GONE=shape.block_gone,
        )  # fmt: skip
    written(rows, *([v] if rule.keep else []))
    squares = partial.sum(0)
    return squares if shape.each == 1 or not groups else squares.view(groups, -1).sum(1)


def second_pass_(rows: Tensor, factor: Tensor, point: Point | None = None) -> None:
    """Multiply each group by its factor and shrink single weights, in one pass.

    Parameters
    ----------
    rows
        As for `first_pass_`.
    factor
        (group,) float32, contiguous.
    point
        The prox of single weights, after the factor; None for none.
    """
    shape, point = _Shape.of(rows, len(factor)), point or Point()
    blocks = -(-shape.kept // shape.block_kept), -(-shape.gone // shape.block_gone)
    with torch.cuda.device_of(rows):
        _there().second[(blocks[0] * blocks[1],)](
            rows, factor, shape.kept, shape.gone, shape.step_kept, shape.step_gone, shape.each,
            *point.constants, KIND=point.kind, BLOCK_KEPT=shape.block_kept,
            BLOCK_GONE=shape.block_gone,
        )  # fmt: skip
    written(rows)


def _power(number: int) -> int:
    """Return the least power of two that is not below `number` ≥ 1."""
    return 1 << (number - 1).bit_length()


@functools.cache
def _passes() -> ModuleType | None:
    """Return the kernels, or None where Triton is not installed or cannot launch them."""
    try:
        found = importlib.import_module("tl1bench.kernels._card_passes")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "triton":
            raise
        return None
    return found if _INTERPRETED or _launched(found) else None


def _launched(passes: ModuleType) -> bool:
    """Whether a launch succeeds: Triton builds its launcher with a C compiler at the first one."""
    try:
        w = torch.zeros(1, device="cuda")
        passes.second[(1,)](
            w, w, 1, 1, 1, 1, 1, *Point().constants, KIND=0, BLOCK_KEPT=1, BLOCK_GONE=1
        )
    except Exception as error:  # of Triton, of the compiler it calls, of the driver
        told = " ".join(str(error).split())[:200]
        warnings.warn(
            f"Triton cannot launch kernels on this card ({type(error).__name__}: {told}), so steps "
            "go through torch, which is slower: install a C compiler and Python's headers (gcc and "
            "python3-dev), or uninstall triton.",
            stacklevel=2,
        )
        return False
    return True


def _there() -> ModuleType:
    found = _passes()
    assert found is not None, "ask `takes` first"
    return found
