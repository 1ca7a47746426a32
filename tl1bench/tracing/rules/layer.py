"""LayerNorm, and GroupNorm of one group: what is left is padded to what it was, then normalised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import fx

from tl1bench.tracing.analysis import Analysis
from tl1bench.tracing.arguments import complete, node_of, positional
from tl1bench.tracing.channels import Bools, Floats, Ints, Known, flow
from tl1bench.tracing.graph import op_name
from tl1bench.tracing.rules._base import Rule
from tl1bench.tracing.rules._lines import Centred, found_lines
from tl1bench.tracing.rules.opaque import OPAQUE
from tl1bench.tracing.slots import Slot
from tl1bench.tracing.writer import Emitter

_LEAST = 1 / 8
"""Share of the channels that must go: below it padding takes longer than a layer saves."""


class LayerNorm(Rule):
    """y = γ (x − mean x)/√(var x + ε) + β: constants leave it that nobody reads behind it.

    The d channels that are left are padded to the D that there were, with constants of the same sum
    and the same sum of squares, and of the D results the first d are taken.
    """

    def forward(self, node: fx.Node, state: Analysis) -> Known | None:
        """Let channels with γ = 0, or all if nothing varies, come out as constants."""
        found = self.read(node, state)
        if found is None:
            return OPAQUE.forward(node, state)
        state.note(node, found)
        const = np.full(len(found.source.ids), np.nan)
        if not found.source.live.any():
            const = self.normalised(node, found, state)
        scale, shift = self.affine(found, state)
        const = np.where(scale == 0, shift, const)
        return flow(found.source.axis, found.source.ids, const)

    def read(self, node: fx.Node, state: Analysis) -> Centred | None:
        """Return what is normalised; None where that is not the last axis alone."""
        given = complete(node)
        operand = node_of(given["input"])
        vectors = {name: given[name] for name in ("weight", "bias") if given[name] is not None}
        known = all(state.tensor(o) is not None for o in vectors.values())
        if not known or state.tensor(operand) is not None:
            return None
        if op_name(node) == "layer_norm" and len(given["normalized_shape"]) != 1:
            return None
        ndim = operand.meta["val"].dim()
        axis = ndim - 1 if op_name(node) == "layer_norm" else 1
        if ndim < 2:
            return None
        found = Centred(state.along(operand, axis), vectors, None)
        return replace(found, lines=found_lines(found.source.const, *self.affine(found, state)))

    def affine(self, found: Centred, state: Analysis) -> tuple[Floats, Floats]:
        """Return γ and β as numbers, of a call without any, too."""
        scale, shift = (state.tensor(found.vectors.get(name)) for name in ("weight", "bias"))
        count = len(found.source.ids)
        return (
            np.ones(count) if scale is None else scale.to(torch.float64).numpy(),
            np.zeros(count) if shift is None else shift.to(torch.float64).numpy(),
        )

    def normalised(self, node: fx.Node, found: Centred, state: Analysis) -> Floats:
        """Return what becomes of constants.

        Parameters
        ----------
        node
            The call.
        found
            What it normalises, all of it constant.
        state
            The passes over the network.

        Returns
        -------
        ndarray
            (channel,).
        """
        scale, shift = (state.tensor(found.vectors.get(name)) for name in ("weight", "bias"))
        row = torch.from_numpy(found.source.const).to(node.meta["val"].dtype)[None]
        with torch.no_grad():
            image = torch.layer_norm(row, [row.shape[1]], scale, shift, complete(node)["eps"])
        values: Floats = image.to(torch.float64).reshape(-1).numpy()
        return values

    def backward(self, node: fx.Node, state: Analysis) -> None:
        """Use every channel where any is needed, of the constants the exact value in any case."""
        found, result = state.plan(node, Centred), state.known(node)
        if found is None or result is None or not result.used.any():
            return
        found.source.use(~found.source.live)
        if result.needed.any():
            state.mark_exact(found.source)

    def more(self, node: fx.Node, state: Analysis, keep: Bools) -> list[tuple[Ints, str]]:
        """Keep all where padding does not pay."""
        found = state.plan(node, Centred)
        if found is None:
            return []
        gone = ~keep[found.source.ids]
        if gone.all() or gone.mean() >= _LEAST:
            return []
        return [(found.source.ids[gone], f"too few to leave {op_name(node)}")]

    def padding(self, const: Floats) -> list[tuple[float, int]]:
        """Return at most two numbers, each so often, of the sum and the squares' sum of these."""
        if const.min() == const.max():
            return [(float(const[0]), len(const))]
        low = len(const) // 2
        high, mean, spread = len(const) - low, const.mean(), const.std()
        up, down = spread * np.sqrt(low / high), spread * np.sqrt(high / low)
        return [(float(mean + up), high), (float(mean - down), low)]

    def slots(self, node: fx.Node, state: Analysis) -> list[Slot]:
        """Say that both vectors make the channel."""
        found = state.plan(node, Centred)
        if found is None:
            return []
        return [Slot(o, 0, found.source.ids, "produced") for o in found.vectors.values()]

    def emit(self, node: fx.Node, out: Emitter) -> fx.Node | None:
        """Write the call, of the padded channels where some are gone."""
        found, value = out.state.plan(node, Centred), out.value(node.args[0])
        if found is None or value is None:
            return out.copy(node)
        keep, ops, write = out.keep[found.source.ids], torch.ops.aten, out.graph.call_function
        given, gone, axis = positional(node, "bias"), int((~keep).sum()), found.source.axis
        before = [0, 0] * (node.meta["val"].dim() - 1 - axis)
        for fill, count in self.padding(np.nan_to_num(found.source.const[~keep])) if gone else ():
            value = write(ops.constant_pad_nd.default, (value, [*before, 0, count], fill))
        given["input"] = value
        for name, operand in found.vectors.items():
            given[name] = self.vector(operand, keep, out)
        written = out.write(node.target, node, tuple(given.values()))
        if not gone:
            return written
        return write(ops.slice.Tensor, (written, axis, 0, len(keep) - gone, 1))

    def vector(self, operand: fx.Node, keep: Bools, out: Emitter) -> fx.Node:
        """Write γ or β with zeros for what is padded: stored ones, unless other calls read it.

        Parameters
        ----------
        operand
            The known vector.
        keep
            (channel,) which stay.
        out
            The ledger.

        Returns
        -------
        Node
            In the new graph.
        """
        left = out.sliced(operand, {0: np.flatnonzero(keep)})
        padding = [0, len(keep) - len(left)]
        if not out.state.shared(operand) or not any(padding):
            return out.tensor(operand, torch.constant_pad_nd(left, padding))
        cut = out.tensor(operand, left)
        return out.graph.call_function(torch.ops.aten.constant_pad_nd.default, (cut, padding, 0.0))


LAYER_NORM = LayerNorm()
OPS: dict[str, Rule] = {"layer_norm": LAYER_NORM}
