"""Masks of attention, (sample, 1, query, key), before they were spread over heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from tl1bench.tracing.carrying import VIEWS
from tl1bench.tracing.graph import op_name, stand_ins

Write = Callable[[Any, tuple[Any, ...]], fx.Node]


def unspread(mask: fx.Node, heads: int, write: Write) -> fx.Node | None:
    """Return a mask that is the same for all heads as it was before it was one for each.

    nn.MultiheadAttention gives (sample · head, query, key) a copy for each head.

    Parameters
    ----------
    mask
        (sample, head, query, key) or (sample · head, query, key).
    heads
        How many.
    write
        Writes a call in front of the attention.

    Returns
    -------
    Node or None
        Of one head, or of one sample and one head; None for a mask that may tell heads apart.
    """
    found = mask
    while op_name(found) in (*VIEWS, "clone", "contiguous") and isinstance(found.args[0], fx.Node):
        found = found.args[0]
    if op_name(found) == "expand" and isinstance(found.args[0], fx.Node):
        source, wide, own = found.args[0], stand_ins(found), stand_ins(mask)
        fits = len(wide) == 4 and wide[1:] == (heads, *own[-2:])
        fits = fits and math.prod(wide) == math.prod(own) and source.meta["val"].dim() == 4
        return source if fits and source.meta["val"].shape[1] == 1 else None
    if op_name(found) != "add" or len(found.args) != 2 or found.kwargs:
        return None
    parts = [_part(operand, heads, write) for operand in found.args]
    return None if None in parts else write(torch.ops.aten.add.Tensor, tuple(parts))


def _part(operand: Any, heads: int, write: Write) -> fx.Node | None:
    """Return one of two masks that are added, of one head."""
    if not isinstance(operand, fx.Node) or operand.meta["val"].dim() != 3:
        return None
    if operand.meta["val"].shape[0] == 1:
        return write(torch.ops.aten.unsqueeze.default, (operand, 1))
    return unspread(operand, heads, write)
