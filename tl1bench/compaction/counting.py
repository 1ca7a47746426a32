"""Counting what was there and what is left, and why it is left: the report of a compaction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
from torch import fx

from tl1bench.compaction.report import LayerReport, Report, Rest
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Known
from tl1bench.tracing.counted import Counted
from tl1bench.tracing.graph import op_name, shape_of
from tl1bench.tracing.site import Site
from tl1bench.tracing.writer import Emitter


def make_report(state: Analysis, keep: Bools, emitter: Emitter, module: fx.GraphModule) -> Report:
    """Compare the traced graph with what the emitter wrote.

    Parameters
    ----------
    state
        The passes over the network.
    keep
        (label,) which channels stayed.
    emitter
        The ledger.
    module
        The compact network.

    Returns
    -------
    Report
        Layer by layer.
    """
    written = {n.name for n in module.graph.nodes if n.op == "call_function"}
    stored = {name: t.numel() for name, t in module.state_dict().items()}
    layers, widths = list[LayerReport](), list[int]()
    outputs, reasons = _output_labels(state), _Reasons(state)
    kernels = False
    for node, rule in state.ruled:
        held = rule.holds(node, state)
        if held is not None:
            layers.append(_held(node, held, keep, state, stored, reasons))
            if held.uses and not outputs & set(held.units.ids.tolist()):
                widths.append(layers[-1].units_after)
        site = state.plan(node, Site)
        if site is None:
            continue
        left = emitter.layers.get(node) if node.name in written else None
        layers.append(_layer(node, site, state, keep, emitter, left is not None, reasons))
        source, result = state.along(site.source, site.axis), state.flows[node]
        kernels |= site.convolution
        flattened = len(np.unique(source.ids)) < len(source.ids)
        if not site.convolution and (flattened or (not widths and not kernels)):
            widths.append(0 if left is None else left.live_inputs)
        if not site.depthwise and not outputs & set(result.ids.tolist()):
            widths.append(layers[-1].units_after)
    fixed = sum(_products(node) for node in state.opaque)
    shared = [pair for node, rule in state.ruled for pair in rule.products(node, state)]
    shrunk = sum(macs * int(keep[ids].sum()) // ids.size for macs, ids in shared)
    products = sum(macs for macs, _ in shared)
    tensors = {node: state.traced.static[node] for node in state.traced.names}
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
        rest=tuple(_rest(state, stored)),
        numbers_before=sum(t.numel() for t in tensors.values()),
        numbers_nonzero=sum(int(t.count_nonzero()) for t in tensors.values()),
        numbers_after=sum(stored.values()),
        uncovered=_uncovered(state),
        fixed_batch=state.traced.fixed_batch,
    )


def _rest(state: Analysis, stored: dict[str, int]) -> Iterator[Rest]:
    """Count what is stored beside the weights of layers, by kind; none of it twice."""
    traced = state.traced
    kinds: dict[str, list[fx.Node]] = {"biases": [], "normalisation": [], "others": []}
    layers = {site.matrix for _, site in _sites(state)}
    for node, rule in state.ruled:
        held = rule.holds(node, state)
        layers |= set(held.weights if held is not None else ())
    for node, name in traced.names.items():
        counter = name.endswith("num_batches_tracked")
        if counter or any("norm" in op_name(user) for user in node.users):
            kinds["normalisation"].append(node)
        elif "bias" in name.rpartition(".")[2]:
            kinds["biases"].append(node)
        elif node not in layers:
            kinds["others"].append(node)
    # A computed weight is stored under the name of the call that made it.
    known = {traced.names.get(node, node.name) for node in layers}
    known |= {traced.names[node] for node in (*kinds["biases"], *kinds["normalisation"])}
    for kind, nodes in kinds.items():
        tensors = [traced.static[node] for node in nodes]
        left = sum(stored.get(traced.names[node], 0) for node in nodes)
        if kind == "others":
            left = sum(count for name, count in stored.items() if name not in known)
        before = sum(t.numel() for t in tensors)
        if before or left:
            yield Rest(kind, before, sum(int(t.count_nonzero()) for t in tensors), left)


def _uncovered(state: Analysis) -> dict[str, int]:
    """Count the stored numbers that operations without a rule read, by operation."""
    found: dict[str, set[fx.Node]] = {}
    for node in state.opaque:
        named = (o for o in node.all_input_nodes if o in state.traced.names)
        found.setdefault(op_name(node), set()).update(named)
    return {n: sum(state.traced.static[o].numel() for o in read) for n, read in found.items()}


def _sites(state: Analysis) -> list[tuple[fx.Node, Site]]:
    return [(n, s) for n, _ in state.ruled if (s := state.plan(n, Site)) is not None]


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


def _held(
    node: fx.Node, held: Counted, keep: Bools, state: Analysis, stored: dict[str, int],
    reasons: _Reasons,
) -> LayerReport:  # fmt: skip
    tensors = [state.traced.static[w] for w in held.weights]
    before = sum(t.numel() for t in tensors)
    nonzero = sum(int(t.count_nonzero()) for t in tensors)
    after = sum(stored.get(state.traced.names.get(w, w.name), 0) for w in held.weights)
    kept = keep[held.units.ids] & (after > 0)
    if isinstance(held.inputs, int):
        inputs, read = held.inputs, held.inputs if after else 0
    else:
        inputs, read = len(held.inputs), int(keep[held.inputs].sum()) if after else 0
    return LayerReport(
        name=held.name,
        kind=op_name(node),
        units_before=len(kept),
        units_after=int(kept.sum()),
        inputs_before=inputs,
        inputs_after=read,
        weights_before=before,
        weights_nonzero=nonzero,
        weights_ideal=held.ideal,
        weights_after=after,
        macs_before=held.uses * before,
        macs_nonzero=held.uses * nonzero,
        macs_after=held.uses * after,
        reasons=reasons.count(held.units, kept),
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

    def count(self, known: Known, kept: Bools) -> dict[str, int]:
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
