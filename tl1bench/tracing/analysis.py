"""The two passes: what flows through every edge of the graph, and which of it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from torch import Tensor, fx

from tl1bench.tracing import condensed
from tl1bench.tracing.channels import Channels, Flow, Known, Table, flow, table
from tl1bench.tracing.factors import Factor, lone_axis, single
from tl1bench.tracing.graph import Traced, fixed_axes, shape_of, stand_ins
from tl1bench.tracing.sharing import Places, share
from tl1bench.tracing.slots import Slot

Plan = TypeVar("Plan")


class Analysis:
    """State of the passes over one traced model, with the helpers that the rules share.

    `ruled` are the calls that depend on an input, in execution order, each with its rule.
    """

    def __init__(self, traced: Traced, rule_of: Callable[[fx.Node], Any]) -> None:
        self.traced = traced
        self.ruled = tuple((node, rule_of(node)) for node in traced.calls)
        self.channels = Channels()
        self.flows: dict[fx.Node, Flow] = {}
        self.tables: dict[fx.Node, Table] = {}
        self.inner: list[Known] = []
        self.written: set[fx.Node] = set()
        self.made: set[fx.Node] = set()
        self.opaque: list[fx.Node] = []
        self._plans: dict[fx.Node, object] = {}
        self._passed: set[fx.Node] = set()
        self._views: dict[tuple[fx.Node, int], Flow] = {}
        self._condensed: dict[fx.Node, dict[object, condensed.Condensed]] = {}
        self.places: dict[fx.Node, Places] = {}
        for node in traced.inputs:
            fixed = fixed_axes(node)
            if fixed:
                ids = self.channels.fresh(shape_of(node)[fixed[0]])
                self.flows[node] = flow(fixed[0], ids)
            elif node.meta["val"].dim() > 1:
                self.enter(node, self.positions(node))
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
        known = self.known(node)
        if known is not None:
            if node in self.tables:
                self.written.add(node)
            if not known.used.all():
                self.channels.force(known.ids.reshape(-1), reason)
                self.mark_exact(known)
        elif isinstance(node.meta.get("val"), (Tensor, tuple, list)) and node not in self._passed:
            self._passed.add(node)
            for operand in node.all_input_nodes:
                self.pin(operand, reason)

    def known(self, node: fx.Node) -> Known | None:
        """Return what is known of the channels of a value, along one axis or several."""
        return self.flows.get(node) or self.tables.get(node)

    def positions(self, node: fx.Node) -> Known:
        """Return one channel for all of a value that tells no channels apart, such as a mask."""
        sizes = enumerate(stand_ins(node))
        axes = tuple((Factor(size, False, (axis,)),) if size != 1 else () for axis, size in sizes)
        return table(axes, self.channels.fresh(1).reshape(()))

    def enter(self, node: fx.Node, known: Known | None) -> None:
        """Take down what flows out of a call; a table that lies along one axis is a flow."""
        if isinstance(known, Table):
            axis = lone_axis(known.axes)
            if axis is None:
                self.tables[node] = known
                return
            known = Flow(known.ids, known.const, known.used, axis)
        if isinstance(known, Flow):
            self.flows[node] = known

    def table(self, node: Any) -> Table | None:
        """Return the channels of a value as a table, whose tensor is written as it stands."""
        if not isinstance(node, fx.Node):
            return None
        known = self.flows.get(node)
        if known is not None:
            axes = single(stand_ins(node), known.axis)
            if any(f.channel and f.batch for axis in axes for f in axis):
                return None
            return Table(known.ids, known.const, known.used, axes)
        if node in self.tables:
            self.written.add(node)
        return self.tables.get(node)

    def enter_made(self, node: fx.Node) -> None:
        """Take down a call that no input reaches and that is no known tensor: a mask, say."""
        operands = [o for o in node.all_input_nodes if not _is_size(o)]
        if all(o in self.made or o in self.traced.static for o in operands):
            self.made.add(node)

    def mark_exact(self, known: Known) -> None:
        """Say that the values of all channels count, constants included."""
        known.used[...] = True

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

        Where they lie along several axes, all that have one place along `axis` are tied. When
        they are laid out along another axis they are pinned, and the caller gets new ones along
        the axis it asked for, which must all stay.
        """
        known = self.flows.get(node)
        if known is not None and known.axis == axis:
            return known
        several = self.tables.get(node)
        if several is not None and self._condense(node, several, axis):
            found = self._condensed[node][axis].flow
            assert isinstance(found, Flow)
            return found
        if (node, axis) not in self._views:
            self.pin(node, "read along another axis")
            self._views[node, axis] = self.free(node, axis, "read along another axis")
        return self._views[node, axis]

    def _condense(self, node: fx.Node, known: Table, axis: int) -> bool:
        """Tie what has one place along `axis`; False where that holds no channels, or samples."""
        own = self._condensed.setdefault(node, {})
        found = own.get(axis) or condensed.along(known, axis, self.channels)
        if found is not None:
            own[axis] = found
            self.written.add(node)
        return found is not None

    def rows(self, node: fx.Node) -> Table:
        """Return one channel for every row of the last level, whose places are tied: positions."""
        own = self._condensed.setdefault(node, {})
        if "rows" not in own:
            own["rows"] = condensed.rows(self.tables[node], self.channels)
            self.written.add(node)
        found = own["rows"].flow
        assert isinstance(found, Table)
        return found

    def collect(self, node: fx.Node) -> None:
        """Say of a table's channels what was said of them by readers that want one axis."""
        for view in self._condensed.get(node, {}).values():
            used = self.tables[node].used.reshape(-1)
            used[view.members[view.flow.used]] = True

    def everything(self) -> Iterator[Known]:
        """Yield what is known of every value, in every way in which it is read."""
        yield from self.flows.values()
        yield from self.tables.values()
        yield from self.inner
        for views in self._condensed.values():
            yield from (view.flow for view in views.values())

    def shared(self, weight: fx.Node) -> bool:
        """Whether a known tensor has several readers, or is computed from what is stored."""
        return self.traced.is_shared(weight)


def _is_size(node: fx.Node) -> bool:
    return not isinstance(node.meta.get("val"), (Tensor, tuple, list))


def _laid_out(rule: Any, node: fx.Node, state: Analysis) -> list[Slot]:
    return [*rule.slots(node, state), *rule.places(node, state)]


def analyse(traced: Traced, rule_of: Callable[[fx.Node], Any]) -> Analysis:
    """Run the forward and the backward pass with the rule that `rule_of` finds for each call."""
    state = Analysis(traced, rule_of)
    for node, rule in state.ruled:
        state.enter_made(node)
        state.enter(node, rule.forward(node, state))
    for output in traced.outputs:
        if isinstance(output, fx.Node):
            state.pin(output, "network output")
    for node, rule in reversed(state.ruled):
        state.collect(node)
        rule.backward(node, state)
    state.places = share(traced, state.channels, lambda node: _laid_out(rule_of(node), node, state))
    return state
