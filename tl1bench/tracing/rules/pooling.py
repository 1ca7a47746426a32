"""Operations that mix or move positions but never channels: pooling, resizing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import fx

from tl1bench.tracing import arguments
from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import node_of
from tl1bench.tracing.channels import Known, flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE


class Pooling(Rule):
    """A constant plane stays that constant, unless padding lets zeros in."""

    def __init__(self, exact: bool = True) -> None:
        self.exact = exact

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on; a constant that meets padding becomes live."""
        source_node = node.args[0]
        if not isinstance(source_node, fx.Node) or not self.is_batched(node):
            return OPAQUE.forward(node, state)
        source = state.along(source_node, 1)
        const = source.const
        if not self.exact and not is_plain_average(node):
            const = np.where(const == 0, const, np.nan)
        return flow(1, source.ids, const)

    def is_batched(self, node: fx.Node) -> bool:
        """Whether the first dimension is the batch: without one, it would be the channels."""
        return bool(node_of(node.args[0]).meta["val"].dim() == 2 + int(op_name(node)[-2]))

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use the input channel of every needed channel."""
        result, source = state.flows.get(node), node.args[0]
        if result is not None and isinstance(source, fx.Node):
            part = state.along(source, 1)
            if part.ids is result.ids:
                result.pass_on(part)


class Turn(Pooling):
    """`flip` and `roll`: positions change places; over channels they are opaque."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pass channels on where other dimensions turn."""
        dims, source_node = node.args[-1], node.args[0]
        assert isinstance(source_node, fx.Node)
        assert isinstance(dims, (list, tuple))
        ndim = source_node.meta["val"].dim()
        if ndim < 3 or not dims or any(int(d) % ndim == 1 for d in dims):  # type: ignore[arg-type]
            return OPAQUE.forward(node, state)
        return super().forward(node, state)

    def is_batched(self, node: fx.Node) -> bool:  # noqa: ARG002
        """Any tensor may turn."""
        return True


def is_plain_average(node: fx.Node) -> bool:
    """Whether every output of an average pooling is a mean over positions that all exist."""
    read = arguments.given(node)
    return not is_padded(read) and not read.get("ceil_mode") and not has_divisor(read)


def is_padded(read: Mapping[str, Any]) -> bool:
    """Whether a pooling sees zeros around."""
    padding = read.get("padding", 0)
    return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)


def has_divisor(read: Mapping[str, Any]) -> bool:
    """Whether an average divides by another number than that of its positions."""
    return read.get("divisor_override") is not None


_EXACT, _AVERAGE = Pooling(), Pooling(exact=False)
OPS: dict[str, Rule] = {
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
         "_adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
         "adaptive_max_pool2d", "adaptive_max_pool3d", "upsample_nearest1d", "upsample_nearest2d",
         "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d",
         "upsample_trilinear3d"),
        _EXACT,
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _AVERAGE),
    **dict.fromkeys(("flip", "roll"), Turn()),
}  # fmt: skip
