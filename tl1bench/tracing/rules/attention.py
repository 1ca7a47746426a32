"""Attention as one operation: softmax(q·kᵀ/√D + mask)·v."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, table
from tl1bench.tracing.factors import levels
from tl1bench.tracing.graph import shape_of
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._contraction import Contraction, Side, agree, contraction, whole
from tl1bench.tracing.rules._head_masks import HeadMask, head_mask, told_apart
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.rules.product import multiplied
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Attended:
    """Queries and keys, and (scores and) values; `dims` of a query before anything went.

    `mask`: one that tells heads apart.
    """

    scores: Contraction
    mixed: Contraction
    dims: int
    mask: HeadMask | None


class Attention(Rule):
    """Dim d of q and of k go together where either is 0, or where k is the same everywhere.

    Such a k adds the same number to all scores of a query, which softmax does not see. The result
    has the labels of v; a head none of whose values is needed goes whole. Queries and keys whose
    channels do not meet (learnt queries have none) stay whole.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie queries with keys; the result's channels are those of the values."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        if found.scores.summed:
            state.channels.tie(*multiplied(*found.scores.sides))
        else:
            for name in ("query", "key"):
                state.pin(complete(node)[name], "queries beside other keys")
        values = found.mixed.sides[1]
        mask = complete(node)["attn_mask"]
        if isinstance(mask, fx.Node) and found.mask is None:
            state.pin(mask, "mask of scaled_dot_product_attention")
        shape = np.broadcast_shapes(values.shape, (*found.mixed.lead, 1))
        const = np.broadcast_to(self.through(values.const, mask is None), shape)
        return table(found.mixed.axes, np.broadcast_to(values.ids, shape), const)

    def through(self, const: Floats, unmasked: bool) -> Floats:
        """Return the constants of the result: of values too, unless a mask may hide them all."""
        return const if unmasked else np.where(const == 0, const, np.nan)

    def read(self, node: fx.Node, state: Analysis) -> Attended | None:
        """Return how queries, keys and values meet; None where that is not known."""
        given = complete(node)
        q, k, v = (state.table(given[name]) for name in ("query", "key", "value"))
        if q is None or k is None or v is None or given["enable_gqa"]:
            return None
        ndim = len(q.axes)
        if not ndim == len(k.axes) == len(v.axes) or ndim < 3:
            return None
        lead = "abcdefgh"[: ndim - 2]
        letters = (lead + "nd", lead + "md", lead + "nm")
        scores = contraction((q, k), letters)
        if scores is None or not scores.summed:
            # Queries that are learnt have no channels: all of them and of the keys stay.
            scores = contraction((whole(q, state), whole(k, state)), letters)
        if scores is None:
            return None
        heads = np.zeros([f.size for f in levels(scores.axes)], dtype=np.int64)
        mixed = contraction((table(scores.axes, heads), v), (lead + "nm", lead + "me", lead + "ne"))
        if mixed is None or mixed.owner != 1:
            return None
        given, own = given["attn_mask"], None
        if given is not None and told_apart(given, scores.axes):
            own = head_mask(given, scores.axes, state)
            if own is None:
                return None
        return Attended(scores, mixed, q.axes[-1][0].size, own)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the values, and where any of a head is needed its queries and keys."""
        found, result = state.plan(node, Attended), state.table(node)
        if found is None or result is None:
            return
        values = found.mixed.sides[1]
        known = np.broadcast_to(~np.isnan(values.const), result.ids.shape)
        values.use(np.asarray(result.used & (result.live | known)))
        if found.mask is not None and found.mask.side is not None:
            found.mask.side.use(np.asarray(result.needed.any(axis=-1, keepdims=True)))
        if not found.scores.summed:
            return
        heads = np.asarray(result.needed).any(axis=-1, keepdims=True)
        q, k = found.scores.sides
        read = heads & (q.const != 0) & np.isnan(k.const)
        q.use(np.asarray(read | (heads & ~np.isnan(q.const))))
        k.use(np.asarray(read | (heads & ~np.isnan(k.const))))

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep the same heads in queries, keys, values and the result."""
        found, result = state.plan(node, Attended), state.table(node)
        if found is None or result is None:
            return []
        out = Side(result, result.ids.shape, len(found.mixed.lead))
        sides = [*found.scores.sides, found.mixed.sides[1], out]
        reason, mask = "heads of scaled_dot_product_attention", found.mask
        if mask is None:
            return list(agree(sides, keep, reason))
        if mask.side is not None:
            sides.insert(0, mask.side)
        return [
            *agree(sides, keep, reason), *((ids, reason) for ids in mask.wanted(result.ids, keep))
        ]  # fmt: skip

    def places(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say where a known mask is laid out by heads."""
        found = state.plan(node, Attended)
        return [] if found is None or found.mask is None else found.mask.slots()

    def products(self, node: fx.Node, state: Analysis) -> list[tuple[int, Ints]]:
        """Return queries times keys, and scores times values."""
        found, result = state.plan(node, Attended), state.known(node)
        if found is None or result is None:
            return []
        given = complete(node)
        query, key, value = (shape_of(given[a], batch=1) for a in ("query", "key", "value"))
        scores = math.prod(query[:-1]) * key[-2]
        shared = max((side.ids for side in found.scores.sides), key=lambda ids: ids.size)
        return [(scores * query[-1], shared), (scores * value[-1], result.ids)]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the scale that it had."""
        found, result = out.state.plan(node, Attended), out.state.table(node)
        if found is None or result is None:
            return out.copy(node)
        if not out.keep[result.ids].any():
            return None
        given = complete(node)
        operands = [out.value(given.pop(name)) for name in ("query", "key", "value")]
        if None in operands:
            return None
        if given["scale"] is None:
            given.update(self.scale(found, out))
        if found.mask is not None:
            given["attn_mask"] = found.mask.written(out)
        elif given["attn_mask"] is not None:
            given["attn_mask"] = out.argument(given["attn_mask"])
        return out.write(node.target, node, tuple(operands), _told(node, given))

    def scale(self, found: Attended, out: Emitter) -> dict[str, float]:
        """Return 1/√D of the D that there was, where it is another one now."""
        if not found.scores.summed:
            return {}
        kept = out.keep[found.scores.sides[0].ids]
        left = int(kept.sum(axis=-1).max())
        return {} if left == found.dims else {"scale": found.dims**-0.5}


def _told(node: fx.Node, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call that are not what it takes without them."""
    usual = {a.name: a.default_value for a in node.target._schema.arguments}  # type: ignore[union-attr]
    return {name: value for name, value in options.items() if value != usual[name]}


OPS: dict[str, Rule] = {"scaled_dot_product_attention": Attention()}
