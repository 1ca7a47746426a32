"""Convolution, transposed convolution, linear layers and products with a known matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints, Known, flow
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._form import choose_representative, equalise, groups_alive
from tl1bench.tracing.rules._lines import lines_of
from tl1bench.tracing.rules._reading import picked
from tl1bench.tracing.rules._weights import slice_layer
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.site import PRODUCTS, Site, normal_form
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Affine(Rule):
    """Rows whose live inputs all have weight zero are constants; zero columns ask for nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Find constant rows: value = bias + Σ (weights of constant inputs)."""
        site = normal_form(node, self.name, state)
        if site is None:
            return OPAQUE.forward(node, state)
        state.note(node, site)
        source = state.along(site.source, site.axis)
        groups, _, columns, _ = site.weight.shape
        ids = self.labels(site, source, state)
        const = source.const.reshape(groups, 1, columns)
        varies = np.isnan(const) | ((const != 0) & self.loses_constants(site))
        alive = (site.nonzero & varies).any(axis=2).reshape(-1)
        value = np.zeros(len(ids)) if site.bias is None else _numpy(state, site.bias)
        if not self.loses_constants(site):
            value = value + self.folded(site, np.nan_to_num(const))
        return flow(site.axis, ids, np.where(alive, np.nan, value))

    def labels(self, site: Site, source: Flow, state: Analysis) -> Ints:
        """Return the channels of the result: those of the input where the layer is depthwise.

        Parameters
        ----------
        site
            The call.
        source
            What flows in.
        state
            The passes over the network.

        Returns
        -------
        ndarray
            (channel,) labels.
        """
        groups, rows, _, _ = site.weight.shape
        if site.depthwise:
            return np.repeat(source.ids, rows)
        return state.channels.fresh(groups * rows)

    def loses_constants(self, site: Site) -> bool:
        """Whether a constant input gives no constant output: at a border, and in shared layers."""
        return site.border or site.shared

    def folded(self, site: Site, const: Any) -> Any:
        """Σ over inputs and positions of weight · constant, per output row, in float64."""
        if not const.any():
            return 0.0
        total = site.weight.to(torch.float64).sum(dim=-1).numpy()
        return (total * const).sum(axis=2).reshape(-1)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Mark inputs to which a needed row gives a non-zero weight."""
        site = state.plan(node, Site)
        if site is None:
            OPAQUE.backward(node, state)
            return
        read, lines = self.read_inputs(site, state.flows[node]), lines_of(site, state)
        read = read if lines is None else lines.instead(read)
        state.along(site.source, site.axis).use(read)

    def read_inputs(self, site: Site, result: Flow) -> Bools:
        """Mark inputs to which a row that counts gives a weight that is not zero."""
        return site.reads(result.used if site.shared else result.needed)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep a representative of the constants at a border, equal groups, and no empty layer."""
        site = state.plan(node, Site)
        if site is None:
            return []
        source, result = state.along(site.source, site.axis), state.flows[node]
        inside, outside = keep[source.ids], keep[result.ids]
        if not outside.any():
            return []
        read = self.read_inputs(site, result)
        name, exact = state.label(site.matrix), self.unfoldable(site, source) & read
        wanted = [(source.ids[~inside & exact], f"constant that {name} cannot fold")]
        inside = inside | exact
        if self.represents(site):
            representative = choose_representative(source, inside, read)
            if representative is not None:
                wanted.append((source.ids[[representative]], f"constant at the border of {name}"))
                inside[representative] = True
        if self.is_without_inputs(inside):
            wanted.append((source.ids[:1], f"last input of {name}"))
        if self.needs_equal_groups(site):
            alive = groups_alive(inside, outside, site.groups, site.shared)
            equal = equalise(source.ids, inside, alive) + equalise(result.ids, outside, alive)
            wanted += [(ids, f"equal groups of {name}") for ids in equal]
        return wanted

    def represents(self, site: Site) -> bool:
        """Whether one constant input can stand for all others."""
        return site.border and site.groups == 1 and not site.shared

    def is_without_inputs(self, inside: Bools) -> bool:
        """Whether nothing would be left to read."""
        return not inside.any()

    def needs_equal_groups(self, site: Site) -> bool:
        """Whether every group must keep as many channels as the others."""
        return site.groups > 1 and not site.depthwise

    def cannot_fold(self, site: Site) -> bool:
        """Whether constants can be folded neither into the bias nor into each other."""
        return site.shared or (site.border and site.groups > 1)

    def unfoldable(self, site: Site, source: Flow) -> Bools:
        """Mark the non-zero constants that must stay inputs."""
        if self.cannot_fold(site):
            exact: Bools = ~source.live & (source.const != 0)
            return exact
        return np.zeros(len(source.ids), dtype=bool)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Rows and bias are produced, columns are consumed."""
        site = state.plan(node, Site)
        if site is None:
            return []
        source, result = state.along(site.source, site.axis), state.flows[node]
        if site.depthwise:
            ids = result.ids if site.out_dim == 0 else source.ids
            found = [Slot(site.matrix, 0, ids, "both")]
        elif site.groups > 1 and site.out_dim == 1:
            found = [
                Slot(site.matrix, 0, source.ids, "consumed"),
                Slot(site.matrix, 1, result.ids, "produced", site.groups),
            ]
        else:
            found = [
                Slot(site.matrix, site.in_dim, source.ids, "consumed", site.groups),
                Slot(site.matrix, site.out_dim, result.ids, "produced"),
            ]
        if site.bias is not None:
            found.append(Slot(site.bias, 0, result.ids, "produced"))
        return found

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with what is left of its weights."""
        site = out.state.plan(node, Site)
        if site is None:
            return out.copy(node)
        source = out.value(site.source)
        if source is None or not out.keep[out.state.flows[node].ids].any():
            return None
        left = slice_layer(node, site, out)
        out.layers[node] = left
        if left.gather is not None:
            source = picked(node, site, source, left.gather, out)
        weight = out.tensor(site.matrix, left.weight)
        bias = None
        if left.bias is not None:
            bias = (out.bias(site.matrix, left.bias) if site.bias is None
                    else out.tensor(site.bias, left.bias))  # fmt: skip
        return self._written(node, out, source, weight, bias, left.groups)

    def _written(
        self,
        node: fx.Node,
        out: Emitter,
        source: fx.Node,
        weight: fx.Node,
        bias: fx.Node | None,
        groups: int,
    ) -> fx.Node:
        if self.name in PRODUCTS:
            product = out.write(torch.ops.aten.matmul.default, node, (source, weight))
            return product if bias is None else out.graph.call_function(
                torch.ops.aten.add.Tensor, (product, bias))  # fmt: skip
        given = arguments.positional(node, "bias")
        given.update(input=source, weight=weight, bias=bias)
        if "groups" in given:
            given["groups"] = self.groups_written(node, groups)
        return out.write(node.target, node, tuple(given.values()))

    def groups_written(self, node: fx.Node, groups: int) -> int:  # noqa: ARG002
        """Return the number of groups of the call that is written: of those that are left."""
        return groups


def _numpy(state: Analysis, node: fx.Node) -> Any:
    tensor = state.tensor(node)
    assert tensor is not None
    return tensor.to(torch.float64).numpy()


OPS: dict[str, Rule] = {
    name: Affine(name)
    for name in (
        "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
        "linear", "addmm",
    )
}  # fmt: skip
