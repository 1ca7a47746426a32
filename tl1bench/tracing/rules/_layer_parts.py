"""What is written in front of a layer, or in its place: the inputs that it reads, its constants."""

from __future__ import annotations

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.channels import Flow, Ints
from tl1bench.tracing.graph import is_batch
from tl1bench.tracing.site import Site
from tl1bench.tracing.writer import Emitter


def constants(node: fx.Node, site: Site, result: Flow, out: Emitter) -> fx.Node:
    """Write the constants of the channels that stay, spread over samples and positions.

    Parameters
    ----------
    node, site
        The call, and the same in normal form.
    result
        Its channels.
    out
        The ledger that is written.

    Returns
    -------
    Node
        In the new graph.
    """
    ops, value, kept = torch.ops.aten, node.meta["val"], out.kept(result)
    numbers = torch.from_numpy(np.nan_to_num(result.const[kept])).to(value.dtype)
    bias = (out.bias(site.matrix, numbers) if site.bias is None
            else out.tensor(site.bias, numbers))  # fmt: skip
    behind = value.dim() - 1 - site.axis
    if behind:
        shape = [len(kept), *[1] * behind]
        bias = out.graph.call_function(ops.reshape.default, (bias, shape))
    sizes = [out.batch() if is_batch(size) else size for size in value.shape]
    sizes[site.axis] = len(kept)
    return out.write(ops.expand.default, node, (bias, sizes))


def picked(node: fx.Node, site: Site, source: fx.Node, chosen: Ints, out: Emitter) -> fx.Node:
    """Write the inputs that are read: neighbours as a slice, groups as slices side by side.

    Parameters
    ----------
    node, site
        The call, and the same in normal form.
    source
        All inputs that are left, in the new graph.
    chosen
        Positions among them, rising.
    out
        The ledger that is written.

    Returns
    -------
    Node
        In the new graph.
    """
    ops, write = torch.ops.aten, out.graph.call_function
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1)
    if len(runs) > 1 and site.groups == 1:
        return write(ops.index_select.default, (source, site.axis, out.index(node, chosen)))
    parts = [
        write(ops.slice.Tensor, (source, site.axis, int(run[0]), int(run[-1]) + 1)) for run in runs
    ]
    return parts[0] if len(parts) == 1 else write(ops.cat.default, (parts, site.axis))
