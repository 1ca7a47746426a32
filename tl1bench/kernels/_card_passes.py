"""The two passes of a step over weights on a card, in Triton; `card` launches them.

A tensor is a matrix of `kept` groups and `gone` members, of which one axis is contiguous: the
members (`step_kept` is their number) or the groups (`step_gone` is). Triton takes a stride of 1 as
a constant and lays a tile out along it.

Nothing is added up by atomics, so that a run can be repeated bit for bit. Square roots and
divisions are the rounded ones: what waits for memory has time for them.
"""

from __future__ import annotations

import re

import triton
import triton.language as tl

from tl1bench.kernels import build

_D = re.findall(r"-?\d\.\d+(?=f)", build.source("tl1.h").partition("#define TL1_D")[2])[:6]
D5, D3, D1, D4, D2, D0 = (tl.constexpr(float(number)) for number in _D)
LEAVE, TL1, SOFT = (tl.constexpr(number) for number in range(3))


@triton.jit
def shrunk(v, KIND: tl.constexpr, t, a, hi, lo, b):
    """Return the prox of single weights: none, transformed ℓ1 (`tl1.h`, line by line), or ℓ1."""
    if KIND == TL1:
        m = tl.abs(v)
        inverse = tl.div_rn(1.0, m + a)
        r = inverse * b
        e = ((m - hi) - lo) * inverse
        e = tl.where(e > 0.0, e, 0.0)
        square = r * r
        q = (square + (r + 1.0)) * e
        d = ((D5 * q + D3) * q + D1) * tl.sqrt_rn(q) + ((D4 * q + D2) * q + D0)
        s = tl.div_rn(square * b, d)
        s = tl.where(s < m, s, m)
        v = tl.where(m <= t, 0.0, v - tl.where(v < 0.0, -s, s))
    if KIND == SOFT:
        v = v - tl.where(v < -t, -t, tl.where(v > t, t, v))
    return v


@triton.jit
def first(
    w, g, v, partial, kept, gone, step_kept, step_gone, span,
    keep, share, decay, lr, t, a, hi, lo, b,
    MOVE: tl.constexpr, MOMENTUM: tl.constexpr, DECAY: tl.constexpr, KIND: tl.constexpr,
    SQUARES: tl.constexpr, BLOCK_KEPT: tl.constexpr, BLOCK_GONE: tl.constexpr,
):  # fmt: skip
    """Move weights along the gradient, shrink them, and add up squares: `span` members a program.

    v ← keep·v + share·(g + decay·w), w ← shrunk(w − lr·v); where keep is 0, v is not stored.
    """
    blocks = tl.cdiv(kept, BLOCK_KEPT)
    turn = tl.program_id(0) // blocks
    k = tl.program_id(0) % blocks * BLOCK_KEPT + tl.arange(0, BLOCK_KEPT)
    total = tl.zeros([BLOCK_KEPT], dtype=tl.float32)
    for start in range(0, span, BLOCK_GONE):
        m = turn * span + start + tl.arange(0, BLOCK_GONE)
        at = k[:, None].to(tl.int64) * step_kept + m[None, :].to(tl.int64) * step_gone
        inside = (k[:, None] < kept) & (m[None, :] < gone)
        x = tl.load(w + at, mask=inside, other=0.0)
        if MOVE:
            d = tl.load(g + at, mask=inside, other=0.0)
            if DECAY:
                d += decay * x
            d *= share
            if MOMENTUM:
                d += keep * tl.load(v + at, mask=inside, other=0.0)
                tl.store(v + at, d, mask=inside)
            x -= lr * d
        x = shrunk(x, KIND, t, a, hi, lo, b)
        if MOVE or KIND != LEAVE:
            tl.store(w + at, x, mask=inside)
        if SQUARES:
            total += tl.sum(x * x, axis=1)
    if SQUARES:
        tl.store(partial + turn.to(tl.int64) * kept + k, total, mask=k < kept)


@triton.jit
def second(
    w, factor, kept, gone, step_kept, step_gone, width, t, a, hi, lo, b,
    KIND: tl.constexpr, BLOCK_KEPT: tl.constexpr, BLOCK_GONE: tl.constexpr,
):  # fmt: skip
    """Multiply weights by their group's factor, and shrink what comes out."""
    blocks = tl.cdiv(kept, BLOCK_KEPT)
    k = tl.program_id(0) % blocks * BLOCK_KEPT + tl.arange(0, BLOCK_KEPT)
    m = tl.program_id(0) // blocks * BLOCK_GONE + tl.arange(0, BLOCK_GONE)
    at = k[:, None].to(tl.int64) * step_kept + m[None, :].to(tl.int64) * step_gone
    inside = (k[:, None] < kept) & (m[None, :] < gone)
    along = tl.load(factor + k // width, mask=k < kept, other=0.0)
    x = tl.load(w + at, mask=inside, other=0.0) * along[:, None]
    tl.store(w + at, shrunk(x, KIND, t, a, hi, lo, b), mask=inside)
