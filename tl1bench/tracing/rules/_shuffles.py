"""Shuffles as what they are: a view, a permute and a view."""

from __future__ import annotations

from tl1bench.tracing.factors import size_of
from tl1bench.tracing.rules._chain import Chain


def _pixel_shuffle(chain: Chain, r: int) -> Chain | None:
    """(…, C·r·r, H, W) → (…, C, H·r, W·r)."""
    *front, c, h, w = sizes = [size_of(axis) for axis in chain.axes]
    split = chain.view([*front, c // (r * r), r, r, h, w])
    n = len(sizes) - 3
    if split is None:
        return None
    moved = split.permute([*range(n), n, n + 3, n + 1, n + 4, n + 2])
    return moved.view([*front, c // (r * r), h * r, w * r])


def _pixel_unshuffle(chain: Chain, r: int) -> Chain | None:
    """(…, C, H·r, W·r) → (…, C·r·r, H, W)."""
    *front, c, h, w = sizes = [size_of(axis) for axis in chain.axes]
    split = chain.view([*front, c, h // r, r, w // r, r])
    n = len(sizes) - 3
    if split is None:
        return None
    moved = split.permute([*range(n), n, n + 2, n + 4, n + 1, n + 3])
    return moved.view([*front, c * r * r, h // r, w // r])


def _channel_shuffle(chain: Chain, groups: int) -> Chain | None:
    """(B, groups·n, …) → (B, n·groups, …)."""
    batch, c, *rest = (size_of(axis) for axis in chain.axes)
    split = chain.view([batch, groups, c // groups, *rest])
    if split is None:
        return None
    moved = split.permute([0, 2, 1, *range(3, len(rest) + 3)])
    return moved.view([batch, c, *rest])


SHUFFLES = {
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
}
