"""One file a family of operations; what has no rule here is opaque: kept whole, and reported."""

from __future__ import annotations

import torch
from torch import fx

from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules import (
    affine,
    binary,
    concat,
    expand,
    layout,
    normalise,
    opaque,
    pooling,
    unary,
)
from tl1bench.tracing.rules.base import Rule

_RULES: dict[str, Rule] = {}
for _family in (opaque, affine, normalise, unary, binary, pooling, layout, concat):
    _RULES.update(_family.OPS)


def rule_of(node: fx.Node) -> Rule:
    """Return the rule for a call; the opaque one when there is none."""
    if op_name(node) == "getitem":
        return concat.ITEM
    if node.target is expand.widen:
        return expand.EXPAND
    if not isinstance(node.target, torch._ops.OpOverload):
        return opaque.SCALAR
    return _RULES.get(op_name(node), opaque.OPAQUE)
