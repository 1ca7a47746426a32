"""Every behaviour of compaction broken on purpose: which of the hand networks notices?

A mutation puts a broken function in the place of the one that has the behaviour.
`python tests/compaction/mutations.py docs/compaction.md` writes the table of what caught what.

Long because it is a collection: one entry a behaviour.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checked_networks import Check, checks
from marked import write_between

from tl1bench.compaction import compactor, decide
from tl1bench.tracing import analysis, arguments, carrying, site
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Channels, flow
from tl1bench.tracing.graph import shape_of
from tl1bench.tracing.rules import (
    _chain,
    _form,
    _lines,
    _weights,
    affine,
    binary,
    concat,
    layer,
    layout,
    normalise,
    opaque,
    padding,
    pooling,
    ranges,
    unary,
)


@dataclass(frozen=True)
class Mutation:
    """`keeps` is the behaviour that is lost while `owner.name` is what `broken` makes of it."""

    keeps: str
    owner: Any
    name: str
    broken: Callable[[Callable[..., Any]], Callable[..., Any]]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Lose the behaviour for a while."""
        whole = inspect.getattr_static(self.owner, self.name)
        plain = whole.__func__ if isinstance(whole, staticmethod) else whole
        setattr(self.owner, self.name, self.broken(plain))
        try:
            yield
        finally:
            setattr(self.owner, self.name, whole)


def caught_by(mutation: Mutation, checks: list[Check], enough: int | None = None) -> list[str]:
    """Names of the checks that fail while the rule is broken, `enough` of them at most."""
    found: list[str] = []
    with mutation():
        for check in checks:
            if enough is not None and len(found) >= enough:
                break
            try:
                check.run()
            except Exception:
                found.append(check.name)
    return found


BEHAVIOURS = [
    Mutation("zero padding is a border", site, "has_border",
             lambda right: lambda name, weight, read:
             (read.get("padding") == "same" or name.startswith("conv_transpose"))
             and right(name, weight, read)),
    Mutation("'same' padding is a border", site, "has_border",
             lambda right: lambda name, weight, read:
             read.get("padding") != "same" and right(name, weight, read)),
    Mutation("a transposed convolution has a border", site, "has_border",
             lambda right: lambda name, weight, read:
             not name.startswith("conv_transpose") and right(name, weight, read)),
    Mutation("constants give constant rows behind a convolution", affine.Affine, "folded",
             lambda right: lambda self, site, const: 0.0),
    Mutation("depthwise channels are those of the input", affine.Affine, "labels",
             lambda right: lambda self, site, source, state:
             state.channels.fresh(site.groups * site.weight.shape[1])),
    Mutation("a constant at a border gives none", affine.Affine, "loses_constants",
             lambda right: lambda self, site: site.shared),
    Mutation("a constant into a shared layer gives none", affine.Affine, "loses_constants",
             lambda right: lambda self, site: site.border),
    Mutation("γ = 0 reads nothing", normalise.BatchNorm, "reads",
             lambda right: lambda self, result: result.used),
    Mutation("inputs with a weight are read", affine.Affine, "read_inputs",
             lambda right: lambda self, site, result:
             np.zeros(right(self, site, result).shape, bool)),
    Mutation("a representative stands for constants at a border", affine.Affine, "represents",
             lambda right: lambda self, site: False),
    Mutation("a layer keeps one input", affine.Affine, "is_without_inputs",
             lambda right: lambda self, inside: False),
    Mutation("groups stay equal", affine.Affine, "needs_equal_groups",
             lambda right: lambda self, site: False),
    Mutation("groups become as large as the largest", _form, "goal",
             lambda right: lambda kept: 1),
    Mutation("constants stay in front of padded groups", affine.Affine, "cannot_fold",
             lambda right: lambda self, site: site.shared),
    Mutation("constants stay in front of shared layers", affine.Affine, "cannot_fold",
             lambda right: lambda self, site: site.border and site.groups > 1),
    Mutation("constants are folded into the bias", _weights, "offset_of",
             lambda right: lambda wide, values: torch.zeros_like(right(wide, values))),
    Mutation("the representative is scaled", _weights, "scaled",
             lambda right: lambda total, constant: total),
    Mutation("the representative is a constant channel", _weights, "choose_representative",
             lambda right: lambda source, kept, read: len(kept) - 1),
    Mutation("the largest constant is the representative", _form, "largest_of",
             lambda right: lambda dropped, size: int(np.argmin(size))),
    Mutation("constant rows get their constant as bias", _weights, "constants_of",
             lambda right: lambda result, offset: offset),
    Mutation("groups that are gone do not count", _weights, "groups_left",
             lambda right: lambda site, groups: site.groups),
    Mutation("what is padded has the sum and the squares' sum of what is gone",
             layer.LayerNorm, "padding",
             lambda right: lambda self, const: [(float(const.mean()), len(const))]),
    Mutation("a norm reads all channels that vary", layer.LayerNorm, "backward",
             lambda right: lambda self, node, state:
             state.plan(node, layer.Centred).source.use(state.known(node).used)),
    Mutation("a channel stands for others behind a norm", _lines.Lines, "instead",
             lambda right: lambda self, read: read & ~self.members),
    Mutation("what stands for others gets their weights", _weights, "draw_together",
             lambda right: lambda wide, lines, moved: right(wide.clone(), lines, moved)),
    Mutation("the shifts of others go to the bias", _weights, "draw_together",
             lambda right: lambda wide, lines, moved: torch.zeros_like(right(wide, lines, moved))),
    Mutation("ties are kept", Channels, "tie", lambda right: lambda self, a, b: None),
    Mutation("forced channels stay", Channels, "force", lambda right: lambda self, ids, why: None),
    Mutation("calls that share weights are tied", analysis, "share",
             lambda right: lambda traced, channels, slots_of: {}),
    Mutation("what is transposed is cut along the other axis", carrying, "order",
             lambda right: lambda node, ndim: list(range(ndim))),
    Mutation("shared weights are known as such", Analysis, "shared",
             lambda right: lambda self, weight: False),
    Mutation("an unknown operation pins what it reads", opaque.Opaque, "pin_operands",
             lambda right: lambda self, node, state, why: None),
    Mutation("what leaves an unknown operation stays", Analysis, "free",
             lambda right: lambda self, node, axis, why:
             flow(axis, self.channels.fresh(shape_of(node)[axis]))),
    Mutation("pinned channels have exact values", Analysis, "mark_exact",
             lambda right: lambda self, known: None),
    Mutation("repairs go on until nothing changes", decide, "goes_on",
             lambda right: lambda changed, turn: changed and turn < 1),
    Mutation("operands of a sum are tied", binary.Binary, "tied",
             lambda right: lambda self, parts, count, state:
             next((p.ids for p in parts if len(p.ids) == count), None)
             if any(len(p.ids) == count for p in parts) else state.channels.fresh(count)),
    Mutation("both operands of a sum are read", binary.Binary, "read",
             lambda right: lambda self, node, state: right(self, node, state)[:1]),
    Mutation("a factor 0 makes a constant", binary.Binary, "annihilated",
             lambda right: lambda self, node, const: np.zeros(len(const[0]), bool)),
    Mutation("one channel for all stays", binary.Binary, "serves_all",
             lambda right: lambda self, part: False),
    Mutation("0 − x is not x", binary.Binary, "may_vanish",
             lambda right: lambda self, node, i: True),
    Mutation("a branch of constants is added", binary.Binary, "is_neutral",
             lambda right: lambda self, node, pair, kept, i, out: self.may_vanish(node, i)),
    Mutation("concatenated channels follow each other", concat.Cat, "starts",
             lambda right: lambda self, counts: [0] * len(counts)),
    Mutation("pieces of a split may differ in width", ranges, "piece_start",
             lambda right: lambda widths, piece: piece * widths[0]),
    Mutation("a range marks its own channels", ranges.Part, "place",
             lambda right: lambda self, found, count: slice(0, count)),
    Mutation("a range is cut at its new place", ranges.Part, "bounds",
             lambda right: lambda self, found, place:
             (found.start, found.start + len(place), 1)),
    Mutation("flatten keeps a channel's positions together", layout.Layout, "flattened",
             lambda right: lambda self, members, known:
             np.resize(np.arange(known.ids.size), members.shape)
             if len(members) > known.ids.size else members),
    Mutation("a permute moves channels", _chain.Chain, "permute",
             lambda right: lambda self, order: replace(
                 right(self, order),
                 place=np.sort(self.place.reshape(-1)).reshape(right(self, order).place.shape))),
    Mutation("γ = 0 makes a constant", normalise.BatchNorm, "value_at_zero_scale",
             lambda right: lambda self, shift, const: const),
    Mutation("that constant is β", normalise.BatchNorm, "value_at_zero_scale",
             lambda right: lambda self, shift, const: np.zeros(len(const))),
    Mutation("a kept constant keeps its β", normalise.BatchNorm, "shift_of_constants",
             lambda right: lambda self, known, channels: np.zeros(len(channels))),
    Mutation("BatchNorm maps constants", normalise.BatchNorm, "pushed",
             lambda right: lambda self, node, source, function: source.const),
    Mutation("activations map constants", unary.Unary, "pushed",
             lambda right: lambda self, node, source: source.const),
    Mutation("slopes are sliced with their channels", unary.Prelu, "kept_slopes",
             lambda right: lambda self, known, out: np.arange(len(out.kept(known)))),
    Mutation("padding ends constants in averages", pooling, "is_padded",
             lambda right: lambda read: False),
    Mutation("a divisor ends constants in averages", pooling, "has_divisor",
             lambda right: lambda read: False),
    Mutation("zeros around end a constant", padding.Pad, "padded",
             lambda right: lambda self, source, padding: source.const),
    Mutation("appended channels shift the others", padding.Pad, "middle",
             lambda right: lambda self, padding, count: slice(0, count)),
    Mutation("the number of groups follows the channels", affine.Affine, "groups_written",
             lambda right: lambda self, node, groups: arguments.given(node).get("groups", 1)),
    Mutation("a larger network is never returned", compactor, "is_no_larger",
             lambda right: lambda small, report, traced: True),
]  # fmt: skip


def table() -> str:
    """Lose every behaviour in turn; return what noticed, as Markdown."""
    everything = checks()
    lines = ["| behaviour that is lost on purpose | where | caught by |", "|---|---|---|"]
    for mutation in BEHAVIOURS:
        found = caught_by(mutation, everything)
        names = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
        owner = getattr(mutation.owner, "__qualname__", mutation.owner.__name__).split(".")[-1]
        lines.append(f"| {mutation.keeps} | `{owner}.{mutation.name}` | {names or '**nothing**'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_between(Path(sys.argv[1]), "mutations", table())
