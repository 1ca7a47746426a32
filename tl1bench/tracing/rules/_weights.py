"""The weights of one layer after compaction: sliced, constants folded, dead rows emptied."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Flow, Ints
from tl1bench.tracing.rules._form import choose_representative, groups_alive
from tl1bench.tracing.rules._lines import Lines, lines_of
from tl1bench.tracing.rules._reading import chosen
from tl1bench.tracing.site import Site
from tl1bench.tracing.sliced import SlicedLayer
from tl1bench.tracing.writer import Emitter


def slice_layer(node: fx.Node, site: Site, out: Emitter) -> SlicedLayer:
    """Slice and fold the weights of one call.

    Rows that nobody needs become zero with the constant as bias. Constant inputs that are dropped
    go to the bias, or where zero padding is seen to a constant input that stays:
    W[:, r] += W[:, j]·c_j/c_r. `out.gather` says where zero input columns are left out by an
    index_select: from which share of them on in linear layers, or in which calls; `out.align` of
    what number a multiple is read.
    """
    state, keep, folding = out.state, out.keep, out.folding
    source, result = state.along(site.source, site.axis), state.flows[node]
    inside, outside = keep[source.ids], keep[result.ids]
    weight = site.weight
    bias = None if site.bias is None else state.tensor(site.bias)
    live = int((site.reads(result.needed) & source.live).sum()) if site.groups == 1 else 0
    if folding and not site.shared:
        lines = lines_of(site, state)
        weight, bias = _fold(site, source, result, inside, weight, bias, lines)
    picked, groups, read = _slice(site, weight, inside, outside)
    if folding and len(picked) == 1 and site.axis > 0 and not site.shared:
        among = chosen(node, site, picked, out)
        if among is not None:
            picked = picked[:, :, torch.from_numpy(among)]
            read = among if read is None else read[among]
    if bias is not None and not outside.all():
        bias = bias[torch.from_numpy(np.flatnonzero(outside))]
    if bias is not None and site.bias is None and not bool(bias.any()):
        bias = None
    return SlicedLayer(_stored(site, picked, state), bias, groups, read, live)


def _fold(
    site: Site, source: Flow, result: Flow, inside: Bools, weight: Tensor, bias: Tensor | None,
    lines: Lines | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    needed, kind = result.needed, weight.dtype
    read = site.reads(needed)
    constant = np.where(read & ~inside, np.nan_to_num(source.const), 0.0)
    moved = np.zeros(len(read), dtype=bool) if lines is None else read & ~inside & lines.members
    if needed.all() and not constant.any() and not moved.any():
        return weight, bias
    wide = weight.to(torch.float64, copy=True)
    offset = torch.zeros(len(needed), dtype=torch.float64)
    if bias is not None:
        offset = bias.to(torch.float64, copy=True)
    if constant.any():
        values = torch.from_numpy(constant).reshape(site.groups, 1, -1, 1)
        if site.border:
            r = choose_representative(source, inside, read)
            assert r is not None
            wide[0, :, r] += scaled((wide[0] * values[0]).sum(dim=1), source.const[r])
        else:
            offset += offset_of(wide, values)
    if lines is not None and moved.any():
        offset += draw_together(wide[0], lines, np.flatnonzero(moved))
    idle = torch.from_numpy(~needed)
    wide[idle.reshape(site.groups, -1)] = 0.0
    offset[idle] = constants_of(result, offset)[idle]
    return wide.to(kind), offset.to(kind)


def draw_together(wide: Tensor, lines: Lines, moved: Ints) -> Tensor:
    """Give the first of some lines the weights of the `moved` ones, in place; return the offset.

    Parameters
    ----------
    wide
        (outputs, inputs, positions) weights in float64.
    lines
        Which inputs are one input, scaled and shifted.
    moved
        Those of them that are gone.

    Returns
    -------
    Tensor
        (outputs,) what they add to the bias.
    """
    columns = wide[:, torch.from_numpy(moved)]
    ratio, rest = (torch.from_numpy(v[moved])[:, None] for v in (lines.ratio, lines.rest))
    wide[:, lines.first] += (columns * ratio).sum(dim=1)
    return (columns * rest).sum(dim=(1, 2))


def scaled(total: Tensor, constant: float) -> Tensor:
    """Return Σ_j W[:, j] c_j as weights of an input that is `constant`."""
    return total / constant


def offset_of(wide: Tensor, values: Tensor) -> Tensor:
    """Return what constant inputs add to the bias of each row."""
    return (wide * values).sum(dim=(2, 3)).reshape(-1)


def constants_of(result: Flow, offset: Tensor) -> Tensor:  # noqa: ARG001
    """Return the bias of rows that nobody needs: what they always hold."""
    return torch.from_numpy(np.nan_to_num(result.const))


def groups_left(site: Site, groups: Ints) -> int:  # noqa: ARG001
    """Return how many groups the sliced layer has."""
    return len(groups)


def _slice(
    site: Site, weight: Tensor, inside: Bools, outside: Bools
) -> tuple[Tensor, int, Ints | None]:
    """Return (groups left, rows, columns, positions): every group left has equally many.

    Beside it how many groups there are, and which of the inputs they read, None for all.
    """
    if inside.all() and outside.all():
        return weight, site.groups, None
    ins, outs = inside.reshape(site.groups, -1), outside.reshape(site.groups, -1)
    alive = groups_alive(inside, outside, site.groups, site.shared or site.depthwise)
    groups = np.flatnonzero(alive)
    if site.depthwise:
        return weight[torch.from_numpy(groups)], groups_left(site, groups), None
    blocks = [
        weight[g][torch.from_numpy(outs[g])][:, torch.from_numpy(ins[g])] for g in groups.tolist()
    ]
    read = np.repeat(alive, ins.shape[1])[inside]
    chosen = None if read.all() else np.flatnonzero(read)
    return torch.stack(blocks), groups_left(site, groups), chosen


def _stored(site: Site, weight: Tensor, state: Analysis) -> Tensor:
    """Back from the normal form to the layout that the operation wants."""
    original = state.tensor(site.matrix)
    assert original is not None
    if weight is site.weight:
        return original
    if site.out_dim == 1:
        weight = weight.transpose(1, 2)
    return weight.flatten(0, 1).reshape(*weight.flatten(0, 1).shape[:2], *original.shape[2:])
