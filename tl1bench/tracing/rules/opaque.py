"""Operations without a rule: always sound, never smaller."""

from __future__ import annotations

import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule


class Opaque(Rule):
    """Operands stay whole and exact; the result is live and stays whole."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Pin the operands, start new channels that must all stay."""
        value = node.meta.get("val")
        if not isinstance(value, (torch.Tensor, tuple, list)):
            return None
        reason = f"read or written by {op_name(node)}"
        self.pin_operands(node, state, reason)
        if op_name(node) != "getitem":
            state.opaque.append(node)
        if not isinstance(value, torch.Tensor) or value.dim() < 2:
            return None
        return state.free(node, 1, reason)

    def pin_operands(self, node: fx.Node, state: Analysis, reason: str) -> None:
        """Keep all that the call reads, with exact values.

        Parameters
        ----------
        node
            The call.
        state
            The passes over the network.
        reason
            Why, for the report.
        """
        for operand in node.all_input_nodes:
            state.pin(operand, reason)


class Scalar(Opaque):
    """Sizes and comparisons of sizes: no channels at all."""

    def forward(self, node: fx.Node, state: Analysis) -> Flow | None:
        """Nothing flows."""
        del node, state
        return None


OPAQUE = Opaque()
SCALAR = Scalar()
OPS: dict[str, Rule] = {"sym_size": SCALAR}
