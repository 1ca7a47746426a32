"""Places along an axis repeated one by one, such as keys that a group of queries shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of
from tl1bench.tracing.channels import Known, Table, table
from tl1bench.tracing.factors import Factor, levels, renamed
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Repeated:
    """The channels of a `source`, each of them `times` in a row along one of its levels."""

    source: Table
    level: int | None
    times: int


class Repeat(Rule):
    """All copies of a channel are that channel: they stay or go together."""

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Repeat labels along an axis of channels, pass them on along one of positions."""
        given = complete(node)
        operand, times = node_of(given["self"]), given.get("repeats")
        known = state.known(operand)
        if known is None or not isinstance(times, int) or given["dim"] is None:
            return OPAQUE.forward(node, state)
        source = state.table(operand)
        assert source is not None
        dim = int(given["dim"]) % len(source.axes)
        own = source.axes[dim] or (Factor(1, False, ()),)
        if len(own) != 1 or own[0].batch:
            return OPAQUE.forward(node, state)
        level = levels(source.axes).index(own[0]) if own[0].channel else None
        state.note(node, Repeated(source, level, times))
        wide = (replace(own[0], size=own[0].size * times),)
        axes = renamed((*source.axes[:dim], wide, *source.axes[dim + 1 :]))
        if level is None:
            return table(axes, source.ids, source.const)
        const = np.repeat(source.const, times, axis=level)
        return table(axes, np.repeat(source.ids, times, axis=level), const)

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use a channel where any of its copies is used."""
        found, result = state.plan(node, Repeated), state.known(node)
        if found is None or result is None:
            return
        used = result.used
        if found.level is not None:
            shape = used.shape
            before, behind = shape[: found.level], shape[found.level + 1 :]
            copies = used.reshape(*before, -1, found.times, *behind)
            used = np.asarray(copies.any(axis=found.level + 1))
        found.source.use(np.asarray(used))

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call as it stands, if something of it is left."""
        return out.copy(node)


OPS: dict[str, Rule] = {"repeat_interleave": Repeat()}
