"""Convolution, transposed convolution, linear layers and products with a known matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints, flow
from tl1bench.tracing.rules.base import Rule
from tl1bench.tracing.rules.form import choose_representative, equalise
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot

if TYPE_CHECKING:
    from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Site:
    """One affine call in normal form: out[o] = Σ_i weight[o, i] ∗ in[i] + bias[o].

    `weight` is (groups, outputs a group, inputs a group, positions), a view of the stored tensor.
    `border`: some output positions see fewer input positions than others (zero padding), so a
    constant input does not give a constant output.
    """

    source: fx.Node
    matrix: fx.Node
    bias: fx.Node | None
    weight: Tensor
    groups: int
    border: bool
    out_dim: int
    in_dim: int
    axis: int
    nonzero: Bools
    shared: bool
    convolution: bool

    @property
    def depthwise(self) -> bool:
        """One input channel a group."""
        return self.groups > 1 and self.weight.shape[2] == 1


def normal_form(node: fx.Node, name: str, state: Analysis) -> Site | None:
    """Read the call; None when its weights depend on the input or its layout is unusual."""
    arguments = _arguments(node)
    source, matrix, bias = arguments["input"], arguments["weight"], arguments.get("bias")
    if state.tensor(source) is not None:
        return None
    stored, offset = state.tensor(matrix), state.tensor(bias)
    if stored is None or (bias is not None and offset is None):
        return None
    ndim = node.meta["val"].dim()
    groups, border, out_dim, in_dim, axis = 1, False, 0, 1, 1
    if name.startswith("conv"):
        if ndim != stored.dim():
            return None
        groups = int(arguments.get("groups") or 1)
        border = _has_border(name, stored, arguments)
        out_dim, in_dim = (1, 0) if name.startswith("conv_transpose") else (0, 1)
    else:
        axis = ndim - 1
        out_dim, in_dim = (0, 1) if name == "linear" else (1, 0)
        if stored.dim() != 2 or ndim < 2 or source.meta["val"].dim() != ndim:
            return None
        if offset is not None and offset.dim() != 1:
            return None
    if out_dim == 0:
        weight = stored.unflatten(0, (groups, -1)).flatten(3) if stored.dim() > 2 else stored[None]
    else:
        weight = stored.unflatten(0, (groups, -1)).transpose(1, 2)
        weight = weight.flatten(3) if stored.dim() > 2 else weight
    weight = weight if weight.dim() == 4 else weight.unsqueeze(-1)
    return Site(
        source, matrix, bias, weight, groups, border, out_dim, in_dim, axis,
        (weight != 0).any(dim=-1).numpy(), state.shared(matrix),
        name.startswith("conv"),
    )  # fmt: skip


def _arguments(node: fx.Node) -> dict[str, Any]:
    schema = node.target._schema  # type: ignore[union-attr]
    found = {a.name: v for a, v in zip(schema.arguments, node.args, strict=False)}
    found.update(node.kwargs)
    if schema.name in ("aten::mm", "aten::matmul", "aten::addmm"):
        pair = ("mat1", "mat2") if schema.name == "aten::addmm" else tuple(found)[:2]
        bias = found.get("self") if schema.name == "aten::addmm" else None
        if found.get("alpha", 1) != 1 or found.get("beta", 1) != 1:
            bias = found["mat1"]
        return {"input": found[pair[0]], "weight": found[pair[1]], "bias": bias}
    return found


def _has_border(name: str, weight: Tensor, arguments: dict[str, Any]) -> bool:
    if name.startswith("conv_transpose"):
        return True
    padding = arguments.get("padding", 0)
    if padding == "same":
        return any(size > 1 for size in weight.shape[2:])
    if padding == "valid":
        return False
    return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)


class Affine(Rule):
    """Rows whose live inputs all have weight zero are constants; zero columns ask for nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Find constant rows: value = bias + Σ (weights of constant inputs)."""
        site = normal_form(node, self.name, state)
        if site is None:
            return OPAQUE.forward(node, state)
        state.notes[node] = site
        source = state.along(site.source, site.axis)
        groups, rows, columns, _ = site.weight.shape
        out_dim_size = groups * rows
        ids = np.repeat(source.ids, rows) if site.depthwise else state.channels.fresh(out_dim_size)
        const = source.const.reshape(groups, 1, columns)
        varies = np.isnan(const) | ((const != 0) & (site.border or site.shared))
        alive = (site.nonzero & varies).any(axis=2).reshape(-1)
        value = np.zeros(out_dim_size) if site.bias is None else _numpy(state, site.bias)
        if not site.border and not site.shared:
            value = value + self._folded(site, np.nan_to_num(const))
        result = flow(site.axis, ids, np.where(alive, np.nan, value))
        state.share(site.matrix, "in", source.ids)
        state.share(site.matrix, "out", ids)
        if site.bias is not None:
            state.share(site.bias, "out", ids)
        return result

    @staticmethod
    def _folded(site: Site, const: Any) -> Any:
        """Σ over inputs and positions of weight · constant, per output row, in float64."""
        if not const.any():
            return 0.0
        total = site.weight.to(torch.float64).sum(dim=-1).numpy()
        return (total * const).sum(axis=2).reshape(-1)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Mark inputs to which a needed row gives a non-zero weight."""
        site = state.notes.get(node)
        if site is None:
            OPAQUE.backward(node, state)
            return
        source, result = state.along(site.source, site.axis), state.flows[node]
        needed = result.used if site.shared else result.needed
        rows = needed.reshape(site.groups, -1, 1)
        source.use((site.nonzero & rows).any(axis=1).reshape(-1))

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep a representative of the constants at a border, equal groups, and no empty layer."""
        site = state.notes.get(node)
        if site is None:
            return []
        source, result = state.along(site.source, site.axis), state.flows[node]
        inside, outside = keep[source.ids], keep[result.ids]
        if not outside.any():
            return []
        name, exact = state.label(site.matrix), self._exact(site, source)
        wanted = [(source.ids[~inside & exact], f"constant that {name} cannot fold")]
        inside = inside | exact
        if site.border and site.groups == 1 and not site.shared:
            representative = choose_representative(source, inside)
            if representative is not None:
                wanted.append((source.ids[[representative]], f"constant at the border of {name}"))
                inside[representative] = True
        if not inside.any():
            wanted.append((source.ids[:1], f"last input of {name}"))
        if site.groups > 1 and not site.depthwise:
            equal = equalise(source.ids, inside, result.ids, outside, site.groups)
            wanted += [(ids, f"equal groups of {name}") for ids in equal]
        return wanted

    @staticmethod
    def _exact(site: Site, source: Flow) -> Bools:
        """Non-zero constants that can be folded neither into the bias nor into each other."""
        if site.shared or (site.border and site.groups > 1):
            exact: Bools = source.used & ~source.live & (source.const != 0)
            return exact
        return np.zeros(len(source.ids), dtype=bool)

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Rows and bias are produced, columns are consumed."""
        site = state.notes.get(node)
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
        """Write the call with the weights that are left."""
        site = out.state.notes.get(node)
        return out.copy(node) if site is None else out.affine(node, site, self.name)


def _numpy(state: Analysis, node: fx.Node) -> Any:
    tensor = state.tensor(node)
    assert tensor is not None
    return tensor.to(torch.float64).numpy()


OPS: dict[str, Rule] = {
    name: Affine(name)
    for name in (
        "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
        "linear", "mm", "matmul", "addmm",
    )
}  # fmt: skip
