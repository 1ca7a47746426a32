"""What is left of the weights of a recurrent layer: rows of gates, columns, folded constants."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.channels import Bools, Known
from tl1bench.tracing.rules._recurrence import gate_rows
from tl1bench.tracing.rules._recurrent_layer import Layer
from tl1bench.tracing.writer import Emitter


def left_of(layer: Layer, out: Emitter) -> list[fx.Node]:
    """Write the weights that are left, as torch lists them.

    Units that stay though nobody needs them read nothing more: their rows are zero, with what they
    always hold as bias. Constant inputs that leave go to the biases.

    Parameters
    ----------
    layer
        The call.
    out
        The ledger that is written.

    Returns
    -------
    list of Node
        Of one direction after the other.
    """
    source = out.state.along(layer.source, 2)
    found: list[fx.Node] = []
    for d in range(len(layer.ways)):
        if out.keep[layer.outputs[d]].any():
            tensors = _folded(layer, d, source, out)
            found += [out.tensor(node, tensor) for node, tensor in tensors.items()]
    return found


def _folded(layer: Layer, d: int, source: Known, out: Emitter) -> dict[fx.Node, Tensor]:
    """Return what is left of each weight of direction `d`."""
    way, (units, outputs) = layer.ways[d], (layer.inner[0].used[d], layer.inner[1].used[d])
    inside = out.keep[source.ids]
    left, given = out.keep[layer.units[d]], out.keep[layer.outputs[d]]
    tensors = {node: _known(node, out) for node in way.nodes}
    if out.folding and not layer.shared:
        constant = np.where(source.used & ~inside, np.nan_to_num(source.const), 0.0)
        if way.bias_ih is not None and constant.any():
            wide = tensors[way.ih].to(torch.float64) @ torch.from_numpy(constant)
            tensors[way.bias_ih] = tensors[way.bias_ih].to(torch.float64) + wide
        _silence(layer, d, tensors, ~units)
        if way.hr is not None:
            tensors[way.hr] = _without(tensors[way.hr], ~outputs)
    gates = len(tensors[way.ih]) // len(left)
    rows = gate_rows(np.flatnonzero(left), len(left), gates)
    cuts: dict[fx.Node, tuple[Tensor, Bools | None]] = {
        way.ih: (rows, inside), way.hh: (rows, given)
    }  # fmt: skip
    if way.hr is not None:
        cuts[way.hr] = (torch.from_numpy(np.flatnonzero(given)), left)
    for node, tensor in tensors.items():
        which, columns = cuts.get(node, (rows, None))
        cut = tensor[which]
        if columns is not None:
            cut = cut[:, torch.from_numpy(np.flatnonzero(columns))]
        tensors[node] = cut.to(_known(node, out).dtype)
    return tensors


def _silence(layer: Layer, d: int, tensors: dict[fx.Node, Tensor], idle: Bools) -> None:
    """Empty the rows of units that nobody needs; a constant keeps what makes it."""
    way, known = layer.ways[d], layer.known[0]
    if not idle.any() or known is None:
        return
    gates = len(tensors[way.ih]) // len(idle)
    rows = np.tile(idle, gates)
    for node in (way.ih, way.hh):
        tensors[node] = _without(tensors[node], rows)
    if gates > 1:
        for bias in (way.bias_ih, way.bias_hh):
            if bias is not None:
                tensors[bias] = _without(tensors[bias], rows)


def _without(tensor: Tensor, rows: Bools) -> Tensor:
    if not rows.any():
        return tensor
    tensor = tensor.clone()
    tensor[torch.from_numpy(rows)] = 0
    return tensor


def _known(node: fx.Node, out: Emitter) -> Tensor:
    tensor = out.state.tensor(node)
    assert tensor is not None
    return tensor
