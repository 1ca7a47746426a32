"""Momentum and move of weights: of large ones in one pass, in C, and the torch twin for many."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from tl1bench.kernels import build
from tl1bench.kernels.memory import in_step, plain, written

# From this size on memory is what a step waits for, and one pass over it is worth a call of C.
LARGE = 1 << 15


class _Move(ctypes.Structure):
    _fields_ = (
        ("w", ctypes.c_void_p), ("g", ctypes.c_void_p), ("v", ctypes.c_void_p),
        ("left", ctypes.c_long), ("keep", ctypes.c_float), ("share", ctypes.c_float),
        ("decay", ctypes.c_float), ("lr", ctypes.c_float),
    )  # fmt: skip


class Queue(ctypes.Structure):
    """Moves in their order, as kernels take them."""

    _fields_ = (("next", ctypes.POINTER(_Move)), ("count", ctypes.c_long))


QUEUE = ctypes.POINTER(Queue)  # of a null pointer, or of `Moves.queue` alone


@dataclass(frozen=True)
class Momentum:
    """v ← keep·v + share·(g + decay·w), w ← w − lr·v.

    An average of gradients has share = 1 − keep, the heavy ball share = 1.
    """

    keep: float
    share: float
    decay: float
    lr: float

    def step_(self, params: list[Tensor], grads: list[Tensor], buffers: list[Tensor]) -> None:
        """Move weights of any kind in place, by torch.

        Parameters
        ----------
        params, grads
            Weights and their gradients.
        buffers
            Their momentum; not looked at where keep is 0.
        """
        if self.decay:
            grads = list(torch._foreach_add(grads, params, alpha=self.decay))
        if not self.keep:
            torch._foreach_add_(params, grads, alpha=-self.lr * self.share)
            return
        if self.share == 1 - self.keep:
            torch._foreach_lerp_(buffers, grads, self.share)
        else:
            torch._foreach_mul_(buffers, self.keep)
            torch._foreach_add_(buffers, grads, alpha=self.share)
        torch._foreach_add_(params, buffers, alpha=-self.lr)


class Moves:
    """Large weights that are still to be moved, each in one pass.

    They wait until somebody needs them, or until a kernel that leaves the memory idle moves them
    meanwhile: `queue` is for that.
    """

    def __init__(self) -> None:
        self._tensors: list[tuple[Tensor, Tensor, Tensor]] = []
        self._moves: list[_Move] = []
        self._at: dict[Tensor, int] = {}

    def add(self, rule: Momentum, p: Tensor, g: Tensor, v: Tensor) -> bool:
        """Take in a weight.

        Parameters
        ----------
        rule
            How it moves.
        p, g, v
            Weights, gradient and momentum, of one shape and layout.

        Returns
        -------
        bool
            False where C does not pay or cannot go, and then it is not taken.
        """
        if p.numel() < LARGE or not plain(p, g, v) or not in_step(p, g, v) or _finish() is None:
            return False
        self._at[p] = len(self._moves)
        self._tensors.append((p, g, v))
        at = p.data_ptr(), g.data_ptr(), v.data_ptr()
        self._moves.append(_Move(*at, p.numel(), rule.keep, rule.share, rule.decay, rule.lr))
        return True

    @functools.cached_property
    def _array(self) -> ctypes.Array[_Move]:
        return (_Move * len(self._moves))(*self._moves)

    @functools.cached_property
    def queue(self) -> Queue:
        """The moves as kernels take them; nothing can be added afterwards."""
        return Queue(self._array, len(self._moves))

    def finish(self, params: Iterable[Tensor]) -> None:
        """Move those of `params` that are still to be moved."""
        finish = _finish()
        for p in params:
            at = self._at.get(p)
            if at is not None and finish is not None:
                finish(self._array[at])

    def finish_all(self) -> None:
        """Move all that are still to be moved."""
        self.finish(self._at)
        written(*(t for p, _, v in self._tensors for t in (p, v)))


def _finish() -> Callable[..., None] | None:
    return build.function("momentum.c", "finish", (ctypes.POINTER(_Move),))
