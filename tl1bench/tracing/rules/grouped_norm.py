"""GroupNorm: the channels of a group by themselves, over all their positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of, positional
from tl1bench.tracing.channels import Bools, Floats, Flow, Ints, Known, flow
from tl1bench.tracing.condensed import tie_along
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules.layer import LayerNorm
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter


@dataclass(frozen=True, eq=False)
class Grouped:
    """What is normalised in so many `groups`, and the known vectors, by their names."""

    source: Flow
    groups: int
    vectors: dict[str, fx.Node]
    fixed: Bools

    def whole(self, marked: Bools) -> Bools:
        """Return all channels of groups of which one is marked."""
        rows = marked.reshape(self.groups, -1)
        return np.repeat(rows.any(axis=1), rows.shape[1])


class GroupNorm(LayerNorm):
    """y = γ (x − mean x)/√(var x + ε) + β, of a group by itself: it stays or goes whole.

    A channel with γ = 0 is the constant β; a group of constants comes out as constants. One group
    alone is a LayerNorm over channels.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Tie the channels of each group; find constants."""
        given = complete(node)
        if given["num_groups"] == 1:
            return super().forward(node, state)
        vectors = {name: given[name] for name in ("weight", "bias") if given[name] is not None}
        operand = node_of(given["input"])
        known = all(state.tensor(o) is not None for o in vectors.values())
        if not known or state.tensor(operand) is not None or given["input"].meta["val"].dim() < 2:
            return OPAQUE.forward(node, state)
        source, groups = state.along(operand, 1), int(given["num_groups"])
        tie_along(source.ids.reshape(groups, -1), 1, state.channels)
        scale, shift = (state.tensor(vectors.get(name)) for name in ("weight", "bias"))
        fixed = np.zeros(len(source.ids), dtype=bool)
        if scale is not None:
            fixed = (scale == 0).numpy()
        found = Grouped(source, groups, vectors, fixed)
        state.note(node, found)
        rest = np.zeros(len(fixed)) if shift is None else shift.to(torch.float64).numpy()
        const = np.where(found.whole(source.live), np.nan, self.by_group(node, found, state))
        return flow(1, source.ids, np.where(fixed, rest, const))

    def by_group(self, node: fx.Node, found: Grouped, state: Analysis) -> Floats:
        """Return what groups of constants become: there one position is as good as all.

        Parameters
        ----------
        node
            The call.
        found
            What it normalises.
        state
            The passes over the network.

        Returns
        -------
        ndarray
            (channel,); of no meaning where a group varies.
        """
        kind = node.meta["val"].dtype
        row = torch.from_numpy(np.nan_to_num(found.source.const)).to(kind)[None, :, None]
        scale, shift = (state.tensor(found.vectors.get(name)) for name in ("weight", "bias"))
        with torch.no_grad():
            image = torch.group_norm(row, found.groups, scale, shift, complete(node)["eps"])
        values: Floats = image.to(torch.float64).reshape(-1).numpy()
        return values

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use whole groups; γ = 0 reads nothing."""
        found, result = state.plan(node, Grouped), state.known(node)
        if found is None:
            super().backward(node, state)
        elif result is not None:
            found.source.use(found.whole(result.used & ~found.fixed))

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that both vectors make the channel."""
        found = state.plan(node, Grouped)
        if found is None:
            return super().slots(node, state)
        return [Slot(o, 0, found.source.ids, "produced") for o in found.vectors.values()]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call with the groups that are left."""
        found, source = out.state.plan(node, Grouped), out.value(node.args[0])
        if found is None or source is None:
            return super().emit(node, out)
        given, kept = positional(node, "bias"), out.kept(found.source)
        given["input"], given["num_groups"] = source, self.left(found, kept)
        for name, operand in found.vectors.items():
            given[name] = out.tensor(operand, out.sliced(operand, {0: kept}))
        return out.write(node.target, node, tuple(given.values()))

    def left(self, found: Grouped, kept: Ints) -> int:
        """Return how many groups the channels are that stay."""
        return len(kept) * found.groups // len(found.source.ids)


OPS: dict[str, Rule] = {"group_norm": GroupNorm()}
