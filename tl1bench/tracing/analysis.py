"""The two passes: what flows through every edge of the graph, and which of it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor, fx

from tl1bench.tracing.channels import Channels, Flow, Ints, flow
from tl1bench.tracing.graph import Traced, shape_of

Plan = TypeVar("Plan")


@dataclass(frozen=True, eq=False)
class Virtual:
    """A value between the two views of a channel shuffle: `table` holds channels of `origin`."""

    origin: fx.Node
    table: Ints


class Analysis:
    """State of the passes over one traced model, with the helpers that the rules share."""

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        self.channels = Channels()
        self.flows: dict[fx.Node, Flow] = {}
        self.opaque: list[fx.Node] = []
        self._plans: dict[fx.Node, object] = {}
        self._passed: set[fx.Node] = set()
        self._views: dict[tuple[fx.Node, int], Flow] = {}
        self._sites: dict[tuple[fx.Node, str], Ints] = {}
        for node in traced.inputs:
            if node.meta["val"].dim() > 1:
                axis = 1
                ids = self.channels.fresh(shape_of(node)[axis])
                self.flows[node] = flow(axis, ids)
                self.pin(node, "network input")

    def note(self, node: fx.Node, plan: object) -> None:
        """Keep what the rule of a call has read, for its later passes."""
        self._plans[node] = plan

    def plan(self, node: fx.Node, kind: type[Plan]) -> Plan | None:
        """Return what was noted for a call; None when there is nothing of that kind."""
        found = self._plans.get(node)
        return found if isinstance(found, kind) else None

    def tensor(self, node: Any) -> Tensor | None:
        """Return the known tensor behind an argument; None for what depends on an input."""
        return self.traced.static.get(node) if isinstance(node, fx.Node) else None

    def label(self, weight: fx.Node) -> str:
        """Return the name of the layer that a weight belongs to."""
        return self.traced.names.get(weight, weight.name).removesuffix(".weight")

    def pin(self, node: fx.Node, reason: str) -> None:
        """Keep all channels of `node`, or of what an untracked one reads, with exact values."""
        known = self.flows.get(node)
        if known is not None:
            if not known.used.all():
                self.channels.force(known.ids, reason)
                self.mark_exact(known)
        elif isinstance(node.meta.get("val"), (Tensor, tuple, list)) and node not in self._passed:
            self._passed.add(node)
            for operand in node.all_input_nodes:
                self.pin(operand, reason)

    def mark_exact(self, known: Flow) -> None:
        """Say that the values of all channels count, constants included."""
        known.used[:] = True

    def free(self, node: fx.Node, axis: int, reason: str) -> Flow:
        """Give `node` new channels along `axis` that are live and must all stay.

        Parameters
        ----------
        node
            The call.
        axis
            Where its channels lie.
        reason
            Why they must stay, for the report.

        Returns
        -------
        Flow
            The new channels.
        """
        known = flow(axis, self.channels.fresh(shape_of(node)[axis]))
        self.channels.force(known.ids, reason)
        return known

    def along(self, node: fx.Node, axis: int) -> Flow:
        """Return the channels of `node` along `axis`.

        When its channels are laid out along another axis they are pinned, and the caller gets new
        ones along the axis it asked for, which must all stay.
        """
        known = self.flows.get(node)
        if known is not None and known.axis == axis:
            return known
        if (node, axis) not in self._views:
            self.pin(node, "read along another axis")
            self._views[node, axis] = self.free(node, axis, "read along another axis")
        return self._views[node, axis]

    def share(self, weight: fx.Node, side: str, ids: Ints) -> None:
        """Tie the channels of all calls that use the same `weight` on the same `side`.

        Parameters
        ----------
        weight
            A known tensor.
        side
            "in" or "out".
        ids
            (channel,) labels of this call.
        """
        first = self._sites.setdefault((weight, side), ids)
        self.channels.tie(first, ids)

    def shared(self, weight: fx.Node) -> bool:
        """Whether more than one call reads the tensor `weight`."""
        return sum(1 for user in weight.users if user not in self.traced.static) > 1


def analyse(traced: Traced, rule_of: Callable[[fx.Node], Any]) -> Analysis:
    """Run the forward and the backward pass with the rule that `rule_of` finds for each call."""
    state = Analysis(traced)
    for node in traced.calls:
        result = rule_of(node).forward(node, state)
        if result is not None:
            state.flows[node] = result
    for output in traced.outputs:
        if isinstance(output, fx.Node):
            state.pin(output, "network output")
    for node in reversed(list(traced.calls)):
        rule_of(node).backward(node, state)
    return state
