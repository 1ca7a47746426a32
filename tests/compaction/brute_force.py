"""How small a random network can be: units are taken away by trying, without any rule.

`python tests/compaction/brute_force.py COUNT` compares with what compaction keeps.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Hashable

import numpy as np
import torch
from hand_networks import randomise
from test_compact import Random, thin_out
from torch import Tensor, nn

from tl1bench.compaction import compact

SHARES = (0.1, 0.2, 0.35, 0.5)
EXACT = 1e-12


class Minimiser:
    """Takes channels and layers of a `Random` network away while nothing that comes out changes.

    Channels that are added, multiplied or filtered by a depthwise layer are one, as in a network
    without indices. One that goes is replaced by the number that it holds everywhere, by 0 if it
    holds several, and in front of zero padding by 0 unless another constant stays there. With
    `maps`, one that does not depend on the input counts as a number where positions are pooled.
    """

    def __init__(self, network: Random, maps: bool = False) -> None:
        self.network, self.maps = network, maps
        self.x = torch.randn(4, 3, 6, 6, dtype=torch.float64)
        self._parents: list[int] = []
        self.names = self._channels()
        self.made: list[Tensor] = []
        self.values: list[Tensor] = []
        with torch.no_grad():
            self.wanted = self._run(frozenset(), keep=True)
        self.held = [_spread(v, (0, 2, 3)) for v in self.values]
        self.fixed = [_spread(v, (0,)).all(-1).all(-1) for v in self.values]

    def is_constant(self) -> bool:
        """Whether the network computes nothing."""
        return bool(_spread(self.wanted, (0,)).all())

    def _channels(self) -> list[list[int]]:
        found = [self._fresh(3)]
        for kind, source, partner, _ in self.network.plan:
            own = found[source]
            if kind in (0, 2):
                own = self._fresh({0: 4, 2: 6}[kind])
            elif kind in (4, 5):
                for a, b in zip(own, found[partner], strict=True):
                    self._parents[self._root(a)] = self._root(b)
            elif kind == 6:
                own = own + found[partner]
            found.append(own)
        return [[self._root(name) for name in names] for names in found]

    def _fresh(self, count: int) -> list[int]:
        start = len(self._parents)
        self._parents += range(start, start + count)
        return list(range(start, start + count))

    def _root(self, name: int) -> int:
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def _read(self, place: int, gone: frozenset[Hashable], value: Tensor, reader: str) -> Tensor:
        names = self.names[place]
        if not any(name in gone for name in names):
            return value
        value, first = value.clone(), self.values[place]
        stands = any(
            bool(self.held[place][c]) and name not in gone and bool(first[0, c].abs().max() > 1e-9)
            for c, name in enumerate(names)
        )
        for c, name in enumerate(names):
            if name in gone:
                known = bool(self.held[place][c]) and (reader != "padded" or stands)
                known |= reader == "pool" and self.maps and bool(self.fixed[place][c])
                value[:, c] = first[:, c] if known else 0
        return value

    def _run(self, gone: frozenset[Hashable], keep: bool = False) -> Tensor:
        values = [self.x]
        steps = zip(self.network.layers, self.network.plan, strict=True)
        for t, (layer, step) in enumerate(steps):
            kind, source, *_ = step
            reader = "padded" if kind == 0 else "plain"
            y = layer(values[source] if keep else self._read(source, gone, values[source], reader))
            if keep:
                self.made.append(y)
            if ("layer", t) in gone:
                held = _spread(self.made[t], (0, 2, 3))[None, :, None, None]
                y = torch.where(held, self.made[t], 0.0)
            values.append(self.network.joined(y, step, values))
        last = len(values) - 1
        ends = values[-1], values[-2]
        if keep:
            self.values = values
        else:
            ends = tuple(self._read(last - i, gone, ends[i], "pool") for i in (0, 1))
        return self.network.headed(*ends)

    def is_same(self, gone: frozenset[Hashable]) -> bool:
        """Whether nothing changes without these channels and layers."""
        with torch.no_grad():
            error = (self._run(gone) - self.wanted).abs().max()
        return bool(error < 10 * EXACT * self.wanted.abs().max().clamp_min(1))

    def weights(self, gone: frozenset[Hashable]) -> int:
        """Count the weights of what is left."""
        total = 0
        for t, (kind, source, _, _) in enumerate(self.network.plan):
            rows = sum(name not in gone for name in self.names[t + 1])
            columns = max(1, sum(name not in gone for name in self.names[source]))
            if rows and ("layer", t) not in gone:
                total += rows * {0: 9 * columns, 1: 9, 2: columns}.get(kind, 0)
        ends = self.names[-1] + self.names[-2]
        return total + 2 * max(1, sum(name not in gone for name in ends))

    def least(self, orders: int = 4) -> int:
        """Return how few weights are left when all that can go alone is taken in some orders."""
        named = sorted({n for names in self.names for n in names} - set(self.names[0]))
        layers = [("layer", t) for t in range(len(self.network.plan))]
        found = []
        for order in range(orders):
            gone: frozenset[Hashable] = frozenset()
            candidates: list[Hashable] = random.Random(order).sample(named, len(named))
            for candidate in candidates + layers:
                if self.is_same(gone | {candidate}):
                    gone |= {candidate}
            found.append(self.weights(gone))
        return min(found)


def _spread(value: Tensor, over: tuple[int, ...]) -> Tensor:
    """Return whether all numbers along some axes are one."""
    return value.amax(over) - value.amin(over) < EXACT


def drawn(seed: int, share: float) -> Random:
    """Return a random network of which a share of all rows and columns is zero."""
    torch.manual_seed(seed)
    return thin_out(randomise(Random(seed)), share, seed).double().eval()


def weights(network: nn.Module) -> int:
    """Count the weights of layers."""
    return sum(p.numel() for p in network.parameters() if p.dim() > 1)


def compare(count: int) -> str:
    """Return the mean shares of weights that are kept and that are possible, as a table."""
    found = []
    for share in SHARES:
        for seed in range(count):
            network = drawn(seed, share)
            whole = Minimiser(network)
            if whole.is_constant():
                continue
            kept = weights(compact(network, whole.x).model)
            least = whole.least(), Minimiser(network, maps=True).least()
            depthwise = any(kind == 1 for kind, *_ in network.plan)
            shares = (n / weights(network) for n in (kept, *least))
            found.append([depthwise, *shares, kept > least[0]])
    table = np.array(found)
    lines = ["| depthwise layers | networks | kept | by trying | maps are numbers | kept more in |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name, own in (("none", table[:, 0] == 0), ("some", table[:, 0] == 1)):
        means = " | ".join(f"{mean:.3f}" for mean in table[own, 1:4].mean(axis=0))
        lines.append(f"| {name} | {own.sum()} | {means} | {int(table[own, 4].sum())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{compare(int(sys.argv[1]))}\n")
