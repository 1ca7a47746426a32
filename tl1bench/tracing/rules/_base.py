"""What a rule is: how one family of operations treats channels, and how it is written again."""

from __future__ import annotations

from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.channels import Bools, Ints, Known
from tl1bench.tracing.counted import Counted
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


class Rule:
    """One family of operations. The defaults suit a call that needs nothing special.

    `forward` says what flows out, `backward` marks what the call uses of its operands, `more` names
    further channels that must stay once `keep` (per label) is known, `slots` lists where its
    tensors are laid out by channel, and `emit` writes the call into the compact graph.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Return the channels of the result; None where they are not tracked."""
        raise TypeError(f"{type(self).__name__} must say what flows out of {node} in {state}.")

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Mark the channels of the operands that the needed channels of the result use."""

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Labels that must be kept as well, given those kept so far, and what for."""
        del node, state, keep
        return []

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Where the call's own tensors are laid out by channel."""
        del node, state
        return []

    def holds(self, node: fx.Node, state: Analysis) -> Counted | None:
        """Return the weights of a call that the report counts by itself; None when it has none."""
        del node, state
        return None

    def places(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Where its tensors are laid out by labels of their own, which `more` ties to channels."""
        del node, state
        return []

    def products(self, node: fx.Node, state: Analysis) -> list[tuple[int, Ints]]:
        """MACs between values that depend on the input, each with the labels that share them."""
        del node, state
        return []

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call again; None when an operand has no channel left."""
        return out.copy(node)
