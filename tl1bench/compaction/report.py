"""What compaction did, layer by layer: units, weights, MACs, and what could not go and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import fx

from tl1bench.compaction.analysis import Analysis
from tl1bench.compaction.channels import Bools
from tl1bench.compaction.emit import Emitter
from tl1bench.compaction.graph import op_name, shape_of
from tl1bench.compaction.rules.affine import Site


@dataclass(frozen=True)
class LayerReport:
    """One layer with weights. Weights exclude biases; MACs are for one sample.

    `macs_nonzero` is what the full layer would need if zeros cost nothing: a theoretical count.
    `kept_because` says why units stay that the result does not need (empty: there are none).
    """

    name: str
    kind: str
    units_before: int
    units_after: int
    inputs_before: int
    inputs_after: int
    weights_before: int
    weights_nonzero: int
    weights_after: int
    macs_before: int
    macs_nonzero: int
    macs_after: int
    kept_because: str


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
    """Compare the traced graph with what the emitter wrote; `written` are names of calls left."""
    layers: list[LayerReport] = []
    widths: list[int] = []
    outputs = _output_labels(state)
    reasons = _reasons(state)
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
    return Report(
        layers=tuple(layers),
        weights_before=sum(layer.weights_before for layer in layers),
        weights_nonzero=sum(layer.weights_nonzero for layer in layers),
        weights_after=sum(layer.weights_after for layer in layers),
        macs_before=sum(layer.macs_before for layer in layers) + fixed,
        macs_nonzero=sum(layer.macs_nonzero for layer in layers) + fixed,
        macs_after=sum(layer.macs_after for layer in layers) + fixed,
        opaque=tuple(dict.fromkeys(op_name(n) for n in state.opaque)),
        architecture="-".join(map(str, widths)),
    )


def _sites(state: Analysis) -> list[tuple[fx.Node, Site]]:
    return [(n, s) for n in state.traced.calls if isinstance(s := state.notes.get(n), Site)]


def _layer(
    node: fx.Node, site: Site, state: Analysis, keep: Bools, emitter: Emitter, present: bool,
    reasons: dict[int, str],
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
    name = state.traced.names.get(site.matrix, site.matrix.name)
    positions, nonzero = _positions(node, site), int(before.count_nonzero())
    idle = result.ids[keep[result.ids] & ~result.needed] if present else result.ids[:0]
    why = sorted({reasons.get(int(i), "tied to channels that are needed") for i in idle})
    return LayerReport(
        name=name.removesuffix(".weight"),
        kind=op_name(node),
        units_before=len(result.ids),
        units_after=units,
        inputs_before=len(source.ids),
        inputs_after=inputs,
        weights_before=before.numel(),
        weights_nonzero=nonzero,
        weights_after=weight.numel(),
        macs_before=positions * before.numel(),
        macs_nonzero=positions * nonzero,
        macs_after=positions * weight.numel(),
        kept_because=f"{len(idle)} idle units: {', '.join(why)}" if len(idle) else "",
    )


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


def _reasons(state: Analysis) -> dict[int, str]:
    classes = state.channels.classes()
    by_class: dict[int, str] = {}
    for reason, some in state.channels.forced.items():
        for ids in some:
            by_class.update((int(c), reason) for c in classes[ids])
    return {i: by_class[int(c)] for i, c in enumerate(classes) if int(c) in by_class}


def _products(node: fx.Node) -> int:
    """MACs of a product between two values that both depend on the input."""
    operands = [n for n in node.all_input_nodes if "val" in n.meta]
    name = op_name(node)
    if name in ("matmul", "bmm", "mm", "baddbmm"):
        result = shape_of(node, batch=1)
        return math.prod(result) * shape_of(operands[-2], batch=1)[-1]
    if name == "scaled_dot_product_attention":
        query, key, value = (shape_of(n, batch=1) for n in operands[:3])
        return math.prod(query) * key[-2] + math.prod(query[:-1]) * key[-2] * value[-1]
    return 0
