"""Three liberties that leave the function as it is and may make it faster, or not.

* `gather`: a layer picks its live inputs by an index first, where whole columns are zero;
* `expand`: a branch of a sum is computed with its own live channels, then spread over the sum's;
* `align`: dead units stay as zeros, so that a width suits the processor's vectors.

None is on by itself: `Draft` lists what a network offers, and `tl1bench.tuning` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, fx, nn

from tl1bench.compaction.compacted import Compacted
from tl1bench.compaction.compactor import compact_traced, is_no_larger, write
from tl1bench.compaction.decide import PADDING, decide
from tl1bench.errors import CompactionError
from tl1bench.tracing.analysis import Analysis, analyse
from tl1bench.tracing.capture import trace
from tl1bench.tracing.channels import Bools, Ints
from tl1bench.tracing.graph import Traced, op_name
from tl1bench.tracing.rules import rule_of
from tl1bench.tracing.rules.expand import widen
from tl1bench.tracing.site import Site
from tl1bench.tracing.sliced import live_columns

_LAYERS = ("conv1d", "conv2d", "conv3d", "linear")
_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training", "getitem")


@dataclass(frozen=True)
class Adapters:
    """What is switched on: layers that gather, branches that expand, widths by layer.

    A layer goes by its weight's name without `.weight`.
    """

    gather: frozenset[str] = frozenset()
    expand: frozenset[str] = frozenset()
    align: Mapping[str, int] = field(default_factory=dict)

    def __or__(self, other: Adapters) -> Adapters:
        return Adapters(
            self.gather | other.gather, self.expand | other.expand, {**self.align, **other.align}
        )

    def __str__(self) -> str:
        said = [f"{what} {name}" for what in ("gather", "expand")
                for name in sorted(getattr(self, what))]  # fmt: skip
        said += [f"{name} {width} wide" for name, width in sorted(self.align.items())]
        return ", ".join(said) or "none"


@dataclass(frozen=True)
class Options:
    """What could be switched on.

    `gather` and `expand` hold the MACs a sample that each layer would save by itself; `widths` the
    width after compaction and before, of every layer that lost units.
    """

    gather: Mapping[str, int]
    expand: Mapping[str, int]
    widths: Mapping[str, tuple[int, int]]


class Draft:
    """A traced network, from which any choice of adapters can be written."""

    def __init__(self, model: nn.Module, example_inputs: tuple[Tensor, ...]) -> None:
        """Trace `model`; CompactionError as in `compact`."""
        self._inputs = example_inputs
        self._traced = trace(model, example_inputs)
        self._branches = _mark(self._traced)
        self._plain = self.write(Adapters())

    @property
    def plain(self) -> Compacted:
        """The compact network without any adapter."""
        return self._plain

    def options(self) -> Options:
        """List what the network offers."""
        state, keep = self._analyse(frozenset())
        gather, widths = {}, {}
        for name, (node, site) in _sites(state).items():
            inside = keep[state.along(site.source, site.axis).ids]
            outside = keep[state.flows[node].ids]
            if not outside.all() and outside.any() and not site.depthwise:
                widths[name] = (int(outside.sum()), len(outside))
            if site.groups > 1 or site.shared or not outside.any():
                continue
            rows = (state.flows[node].needed & outside).nonzero()[0]
            dead = inside & ~live_columns(site.weight[:, rows])
            if dead.any():
                before = self._macs(name)
                gather[name] = before - round(before * (1 - dead.sum() / inside.sum()))
        expand = {}
        for name in self._branches:
            saved = self._plain.report.macs_after
            saved -= self._compact(Adapters(expand=frozenset({name}))).report.macs_after
            if saved > 0:
                expand[name] = saved
        return Options(gather, expand, widths)

    def write(self, adapters: Adapters) -> Compacted:
        """Return the compact network with these adapters; never larger than the traced one.

        Raises
        ------
        CompactionError
            A name is unknown, or the adapters make the network larger than it was.
        """
        if adapters == Adapters():
            self._switch(adapters.expand)
            return Compacted(*compact_traced(self._traced), self._inputs)
        small = self._compact(adapters)
        if not is_no_larger(small.model, small.report, self._traced):
            raise CompactionError(f"With {adapters} the network is larger than before compaction.")
        return small

    def _compact(self, adapters: Adapters) -> Compacted:
        state, keep = self._analyse(adapters.expand)
        sites = _sites(state)
        for name in {*adapters.gather, *adapters.align} - set(sites):
            raise CompactionError(f"There is no layer {name!r} to adapt.")
        for name, width in adapters.align.items():
            ids = state.flows[sites[name][0]].ids
            more = _padding(ids, keep, state.channels.classes(), width)
            if len(more):
                state.channels.force(more, PADDING)
                keep = decide(state)
        # The graph knows calls by their own names.
        calls = frozenset(sites[name][0].name for name in adapters.gather)
        return Compacted(*write(state, keep, True, calls or None), self._inputs)

    def _analyse(self, expand: frozenset[str]) -> tuple[Analysis, Bools]:
        self._switch(expand)
        state = analyse(self._traced, rule_of)
        return state, decide(state)

    def _switch(self, expand: frozenset[str]) -> None:
        """Mark the branches that are to be expanded."""
        for name in expand - set(self._branches):
            raise CompactionError(f"There is no branch {name!r} to expand.")
        for name, node in self._branches.items():
            node.meta["expand"] = name in expand

    def _macs(self, name: str) -> int:
        return next(x.macs_after for x in self._plain.report.layers if x.name == name)


def _mark(traced: Traced) -> dict[str, fx.Node]:
    """Put the identity between every branch and its sum; return these calls by layer."""
    marks: dict[str, fx.Node] = {}
    for node in list(traced.calls):
        if op_name(node) != "add" or len(node.all_input_nodes) < 2:
            continue
        shapes = {str(o.meta["val"].shape) for o in node.all_input_nodes}
        for operand in node.all_input_nodes if len(shapes) == 1 else ():
            name = _layer_before(operand, traced)
            if name is None or name in marks or len(operand.users) > 1:
                continue
            with traced.graph.inserting_before(node):
                mark = traced.graph.call_function(widen, (operand,))
            mark.meta = {"val": operand.meta["val"], "expand": False}
            node.replace_input_with(operand, mark)
            marks[name] = mark
    return marks


def _layer_before(node: fx.Node, traced: Traced) -> str | None:
    """Name the layer whose result, normalised or not, `node` is."""
    while op_name(node) in _NORMS and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    if op_name(node) not in _LAYERS or node.args[1] not in traced.names:
        return None
    return traced.names[node.args[1]].removesuffix(".weight")  # type: ignore[index]


def _sites(state: Analysis) -> dict[str, tuple[fx.Node, Site]]:
    """Every layer with weights by the name of its weight, where one call alone uses it."""
    found: dict[str, tuple[fx.Node, Site]] = {}
    for node in state.traced.calls:
        site = state.plan(node, Site)
        if site is not None and not site.shared:
            name = state.traced.names.get(site.matrix, site.matrix.name)
            found[name.removesuffix(".weight")] = (node, site)
    return found


def _padding(ids: Ints, keep: Bools, classes: Ints, width: int) -> Ints:
    """Choose dropped channels until `width` of `ids` stay; those tied together come together."""
    chosen = keep[ids].copy()
    added: list[int] = []
    for position in np.flatnonzero(~chosen):
        if chosen.sum() >= width:
            break
        if not chosen[position]:
            added.append(int(ids[position]))
            chosen |= classes[ids] == classes[ids[position]]
    return np.array(added, dtype=np.int64)
