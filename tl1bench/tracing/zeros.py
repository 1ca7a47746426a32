"""Values that are zero whatever their sizes are: what a recurrent layer starts from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, fx

from tl1bench.tracing.graph import op_name

_ZEROS = ("zeros", "new_zeros", "zeros_like")
_MOVED = (
    "expand", "view", "reshape", "slice", "select", "contiguous", "clone", "unsqueeze", "squeeze",
    "transpose", "permute", "repeat", "to", "_to_copy", "detach", "alias",
)  # fmt: skip


def is_zero(node: fx.Node, static: Mapping[fx.Node, Tensor]) -> bool:
    """Whether all numbers of a value are zero.

    Parameters
    ----------
    node
        The value.
    static
        Known tensors.

    Returns
    -------
    bool
        Whether they are.
    """
    if node in static:
        return not bool(static[node].any())
    if op_name(node) in _MOVED and isinstance(node.args[0], fx.Node):
        return is_zero(node.args[0], static)
    return op_name(node) in _ZEROS
