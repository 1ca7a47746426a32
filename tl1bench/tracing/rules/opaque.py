"""Operations without a rule: always sound, never smaller."""

from __future__ import annotations

import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Known
from tl1bench.tracing.graph import fixed_axes, op_name
from tl1bench.tracing.rules._base import Rule


class Opaque(Rule):
    """Operands stay whole and exact; the result is live and stays whole."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Pin the operands, start new channels that must all stay."""
        value = node.meta.get("val")
        if not isinstance(value, (torch.Tensor, tuple, list)):
            return None
        reason = f"read or written by {op_name(node)}"
        # What no input reaches may have gone through a layer, whose channels can be cut.
        self.pin_operands(node, state, reason)
        if node in state.made and isinstance(value, torch.Tensor):
            return self.made(node, state)
        if op_name(node) != "getitem":
            state.opaque.append(node)
        if not isinstance(value, torch.Tensor):
            return None
        # Samples may lie along any axis; channels never do.
        fixed = fixed_axes(node)
        return state.free(node, fixed[0], reason) if fixed else None

    def made(self, node: fx.Node, state: Analysis) -> Known:
        """Give what no input reaches, such as a mask, one channel that stays."""
        known = state.positions(node)
        state.channels.force(known.ids.reshape(-1), f"made by {op_name(node)}")
        return known

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

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Nothing flows."""
        del node, state
        return None


OPAQUE = Opaque()
SCALAR = Scalar()
OPS: dict[str, Rule] = {"sym_size": SCALAR}
