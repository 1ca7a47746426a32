"""What compaction did, layer by layer: units, weights, MACs, and what could not go and why."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.rules import rule_of
from tl1bench.tracing.site import Site
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True)
class LayerReport:
    """One layer with weights. Weights exclude biases; MACs are for one sample.

    `weights_ideal` is what would be left if no other layer had a say: rows times columns, over the
    rows that the result needs and the live inputs that those read. `macs_nonzero` is what the full
    layer would need if zeros cost nothing: a theoretical count.
    `reasons` says of the units that stay how many do so for which reason: "used" by the result,
    forced or asked for by an operation, or coupled to a unit of another layer that is used.
    """

    name: str
    kind: str
    units_before: int
    units_after: int
    inputs_before: int
    inputs_after: int
    weights_before: int
    weights_nonzero: int
    weights_ideal: int
    weights_after: int
    macs_before: int
    macs_nonzero: int
    macs_after: int
    reasons: dict[str, int]

    @property
    def kept_because(self) -> str:
        """The reasons in words, `5 used, 1 coupled to stem`."""
        return ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())


@dataclass(frozen=True)
class Report:
    """The whole network: totals over layers, operations without a rule, and the architecture.

    MACs are those of convolutions, linear layers and matrix products, one sample, 1 MAC = 2 FLOPs.
    `architecture` joins the widths: live inputs of a multi-layer perceptron, filters, live inputs
    of the layer behind a flatten, hidden units; the output is left out.
    """

    layers: tuple[LayerReport, ...]
    weights_before: int
    weights_nonzero: int
    weights_ideal: int
    weights_after: int
    macs_before: int
    macs_nonzero: int
    macs_after: int
    opaque: tuple[str, ...]
    architecture: str

    def __str__(self) -> str:
        """Return a table, one line a layer."""
        head = ("layer", "kind", "units", "inputs", "weights", "non-zero", "MACs",
                "of non-zero", "kept because")  # fmt: skip
        rows = [head] + [
            (
                layer.name, layer.kind,
                f"{layer.units_before} → {layer.units_after}",
                f"{layer.inputs_before} → {layer.inputs_after}",
                f"{layer.weights_before:,} → {layer.weights_after:,}",
                f"{layer.weights_nonzero:,}",
                f"{layer.macs_before:,} → {layer.macs_after:,}",
                f"{layer.macs_nonzero:,}",
                layer.kept_because,
            )
            for layer in self.layers
        ]  # fmt: skip
        rows.append(
            ("total", "", "", "", f"{self.weights_before:,} → {self.weights_after:,}",
             f"{self.weights_nonzero:,}", f"{self.macs_before:,} → {self.macs_after:,}",
             f"{self.macs_nonzero:,}", self.architecture)
        )  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        ]
        if self.opaque:
            lines.append("kept whole (no rule): " + ", ".join(self.opaque))
        return "\n".join(lines)


def make_report(state: Analysis, keep: Bools, emitter: Emitter, written: set[str]) -> Report:
    """Compare the traced graph with what the emitter wrote; `written` are names of calls left.

    Parameters
    ----------
    state
        The passes over the network.
    keep
        (label,) which channels stayed.
    emitter
        The ledger.
    written
        Names of the calls that are left.

    Returns
    -------
    Report
        Layer by layer.
    """
    layers: list[LayerReport] = []
    widths: list[int] = []
    outputs = _output_labels(state)
    reasons = _Reasons(state)
    kernels = False
    for node, site in _sites(state):
        left = emitter.layers.get(node) if node.name in written else None
        layers.append(_layer(node, site, state, keep, emitter, left is not None, reasons))
        source, result = state.along(site.source, site.axis), state.flows[node]
        last = layers[-1]
        kernels |= site.convolution
        flattened = len(np.unique(source.ids)) < len(source.ids)
        if not site.convolution and (flattened or (not widths and not kernels)):
            widths.append(0 if left is None else left.live_inputs)
        if not site.depthwise and not outputs & set(result.ids.tolist()):
            widths.append(last.units_after)
    fixed = sum(_products(node) for node in state.opaque)
    shared = [pair for node in state.traced.calls for pair in rule_of(node).products(node, state)]
    shrunk = sum(macs * int(keep[ids].sum()) // ids.size for macs, ids in shared)
    products = sum(macs for macs, _ in shared)
    return Report(
        layers=tuple(layers),
        weights_before=sum(layer.weights_before for layer in layers),
        weights_nonzero=sum(layer.weights_nonzero for layer in layers),
        weights_ideal=sum(layer.weights_ideal for layer in layers),
        weights_after=sum(layer.weights_after for layer in layers),
        macs_before=sum(layer.macs_before for layer in layers) + fixed + products,
        macs_nonzero=sum(layer.macs_nonzero for layer in layers) + fixed + products,
        macs_after=sum(layer.macs_after for layer in layers) + fixed + shrunk,
        opaque=tuple(dict.fromkeys(op_name(n) for n in state.opaque)),
        architecture="-".join(map(str, widths)),
    )


def _sites(state: Analysis) -> list[tuple[fx.Node, Site]]:
    return [(n, s) for n in state.traced.calls if (s := state.plan(n, Site)) is not None]


def _layer(
    node: fx.Node, site: Site, state: Analysis, keep: Bools, emitter: Emitter, present: bool,
    reasons: _Reasons,
) -> LayerReport:  # fmt: skip
    source, result = state.along(site.source, site.axis), state.flows[node]
    before = state.tensor(site.matrix)
    assert before is not None
    left = emitter.layers.get(node)
    weight = left.weight if left is not None and present else before[:0]
    units = int(keep[result.ids].sum()) if present else 0
    inputs = int(keep[source.ids].sum()) if present else 0
    if left is not None and left.gather is not None and present:
        inputs = len(left.gather)
    positions, nonzero = _positions(node, site), int(before.count_nonzero())
    return LayerReport(
        name=state.label(site.matrix),
        kind=op_name(node),
        units_before=len(result.ids),
        units_after=units,
        inputs_before=len(source.ids),
        inputs_after=inputs,
        weights_before=before.numel(),
        weights_nonzero=nonzero,
        weights_ideal=_ideal(site, source, result),
        weights_after=weight.numel(),
        macs_before=positions * before.numel(),
        macs_nonzero=positions * nonzero,
        macs_after=positions * weight.numel(),
        reasons=reasons.count(result, keep[result.ids]) if present else {},
    )


def _ideal(site: Site, source: Flow, result: Flow) -> int:
    live = source.live.reshape(site.groups, 1, -1)
    read = site.nonzero & result.needed.reshape(site.groups, -1, 1) & live
    blocks = read.any(axis=2).sum(axis=1) * read.any(axis=1).sum(axis=1)
    return int(blocks.sum()) * site.weight.shape[-1]


def _positions(node: fx.Node, site: Site) -> int:
    """How often one sample uses each weight."""
    transposed = site.convolution and site.out_dim == 1
    shape = shape_of(site.source if transposed else node, batch=1)
    return math.prod(size for i, size in enumerate(shape) if i != site.axis)


def _output_labels(state: Analysis) -> set[int]:
    found: set[int] = set()
    for output in state.traced.outputs:
        known = state.flows.get(output) if isinstance(output, fx.Node) else None
        if known is not None:
            found |= set(known.ids.tolist())
    return found


class _Reasons:
    """Why classes of channels stay, looked up by class."""

    def __init__(self, state: Analysis) -> None:
        self._classes = classes = state.channels.classes()
        self._why: dict[int, str] = {}
        for node, site in reversed(_sites(state)):
            needed = state.flows[node].ids[state.flows[node].needed]
            coupled = f"coupled to {state.label(site.matrix)}"
            self._why.update(dict.fromkeys(classes[needed].tolist(), coupled))
        for told in (state.channels.asked, state.channels.forced):
            for reason, some in told.items():
                for ids in some:
                    self._why.update(dict.fromkeys(classes[ids].tolist(), reason))

    def count(self, known: Flow, kept: Bools) -> dict[str, int]:
        """Return how many of the `kept` channels stay for which reason, most frequent first."""
        idle = self._classes[known.ids[kept & ~known.needed]].tolist()
        found = Counter(self._why.get(c, "coupled to what is used") for c in idle)
        used = int((kept & known.needed).sum())
        return {**({"used": used} if used else {}), **dict(found.most_common())}


def _products(node: fx.Node) -> int:
    """MACs of a product between two values that both depend on the input."""
    operands = [n for n in node.args if isinstance(n, fx.Node)]
    name = op_name(node)
    if name in ("matmul", "bmm", "mm", "baddbmm"):
        result = shape_of(node, batch=1)
        return math.prod(result) * shape_of(operands[-2], batch=1)[-1]
    if name == "scaled_dot_product_attention":
        query, key, value = (shape_of(n, batch=1) for n in operands[:3])
        return math.prod(query) * key[-2] + math.prod(query[:-1]) * key[-2] * value[-1]
    return 0
