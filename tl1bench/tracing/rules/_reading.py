"""What a layer reads of the inputs that are left: neighbours, which costs nothing, or an index."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, fx

from tl1bench.tracing.channels import Bools, Ints
from tl1bench.tracing.rules.concat import Along
from tl1bench.tracing.site import Site
from tl1bench.tracing.sliced import Gather, live_columns
from tl1bench.tracing.writer import Emitter


def chosen(node: fx.Node, site: Site, weight: Tensor, out: Emitter) -> Ints | None:
    """Return the inputs that a layer reads: the live ones, or neighbours with all of them.

    Parameters
    ----------
    node, site
        The call, and the same in normal form.
    weight
        What is left of its weights, of one group.
    out
        The ledger that is written.

    Returns
    -------
    ndarray or None
        Positions among the inputs that are left, rising; None for all.
    """
    live = live_columns(weight)
    if live.all():
        return None
    live[0] |= not live.any()
    if _by_index(node, site, float(live.mean()), out.gather):
        spare = np.flatnonzero(~live)[: -int(live.sum()) % out.align]
        return np.sort(np.concatenate([np.flatnonzero(live), spare]))
    if out.align > 1:
        return _aligned(live, out.align)
    ends = [0, *np.cumsum([width for _, width in _parts(site, out)])]
    read = np.concatenate([_among(live, *bounds) for bounds in pairwise(ends)])
    return None if len(read) == len(live) else read


def picked(node: fx.Node, site: Site, source: fx.Node, read: Ints, out: Emitter) -> fx.Node:
    """Write the inputs that are read: slices side by side, or those that an index picks.

    Parameters
    ----------
    node, site
        The call, and the same in normal form.
    source
        All inputs that are left, in the new graph.
    read
        Positions among them, rising.
    out
        The ledger that is written.

    Returns
    -------
    Node
        In the new graph.
    """
    ops, write, found, start = torch.ops.aten, out.graph.call_function, list[fx.Node](), 0
    for part, width in _parts(site, out):
        own = read[(read >= start) & (read < start + width)] - start
        runs = [run for run in np.split(own, np.flatnonzero(np.diff(own) != 1) + 1) if len(run)]
        if len(runs) > 1 and site.groups == 1:
            index = out.index(node, read)
            return write(ops.index_select.default, (source, site.axis, index))
        value = out.value(part)
        assert value is not None
        found += [
            value if len(run) == width
            else write(ops.slice.Tensor, (value, site.axis, int(run[0]), int(run[-1]) + 1))
            for run in runs
        ]  # fmt: skip
        start += width
    return found[0] if len(found) == 1 else write(ops.cat.default, (found, site.axis))


def _parts(site: Site, out: Emitter) -> list[tuple[fx.Node, int]]:
    """Return what the input is put together of for this layer alone, and what is left of each."""
    source, state = site.source, out.state
    along, parts = state.plan(source, Along), [source]
    alone = along is not None and along.dim == along.axis == site.axis and site.groups == 1
    if alone and len(source.users) == 1:
        parts = list(source.args[0])  # type: ignore[arg-type]
    left = [int(out.keep[state.along(part, site.axis).ids].sum()) for part in parts]
    return [(part, width) for part, width in zip(parts, left, strict=True) if width]


def _aligned(live: Bools, align: int) -> Ints | None:
    """Return neighbours with all live ones, as many as a multiple says; None for all."""
    first, last = np.flatnonzero(live)[[0, -1]].tolist()
    count = -(-(last + 1 - first) // align) * align
    if count >= len(live):
        return None
    first = min(first, len(live) - count)
    return np.arange(first, first + count)


def _among(live: Bools, start: int, stop: int) -> Ints:
    """Return the positions from the first to the last live one of a range."""
    own = np.flatnonzero(live[start:stop])
    return np.arange(start + own[0], start + own[-1] + 1) if len(own) else own


def _by_index(node: fx.Node, site: Site, share: float, gather: Gather) -> bool:
    if isinstance(gather, frozenset):
        return node.name in gather
    return gather is not None and not site.convolution and 1 - share >= gather
