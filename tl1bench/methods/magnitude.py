"""Iterative magnitude pruning: each step keeps the largest weights, training goes on in between."""

from __future__ import annotations

import torch

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.methods._shares import Shares
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Start


class Magnitude(Shares):
    """Keep the share s_k = s_0 / ρ^k of the dense network's weights with the largest |w|.

    Parameters
    ----------
    scope
        "global" ranks all weights together, "layer" those of each layer by themselves.
    first, ratio, last
        s_0 in (0, 1), ρ > 1, the path's growth when None, and the least share, if any.

    Raises
    ------
    ConfigError
        A value is out of range.

    Source: Han, Pool, Tran & Dally, NeurIPS 2015 (by layer); Frankle & Carbin, ICLR 2019 (global,
    iterative).
    """

    def __init__(
        self,
        scope: str = "global",
        first: float = 0.5,
        ratio: float | None = None,
        last: float | None = None,
    ) -> None:
        if scope not in ("global", "layer"):
            raise ConfigError(f"scope is {scope!r}; give global or layer.")
        super().__init__(first, ratio, last)
        self.scope = scope

    def __repr__(self) -> str:
        return f"Magnitude({self.scope}, {self.first}, {self.ratio}, {self.last})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return momentum SGD."""
        optimizer = super().begin(start)
        self._sizes = {n: w.numel() for n, w in self._weights().items()}
        return optimizer

    @torch.no_grad()
    def cut(self, share: float, before: float) -> None:  # noqa: ARG002
        """Zero the smallest weights."""
        weights = self._weights()
        blocks = [weights] if self.scope == "global" else [{n: w} for n, w in weights.items()]
        for block in blocks:
            keep = max(1, round(share * sum(self._sizes[n] for n in block)))
            _keep_largest(list(block.values()), keep)

    def _weights(self) -> dict[str, torch.Tensor]:
        model = self._start.model
        return {n: model.get_parameter(n) for n in neurons.weight_layers(model)}


def _keep_largest(weights: list[torch.Tensor], keep: int) -> None:
    """Zero in place all but the `keep` largest of all elements; of equal ones the first stay."""
    sizes = torch.cat([w.abs().reshape(-1) for w in weights])
    if keep >= len(sizes):
        return
    mask = torch.zeros_like(sizes)
    mask[torch.sort(sizes, descending=True, stable=True).indices[:keep]] = 1
    for weight, part in zip(weights, mask.split([w.numel() for w in weights]), strict=True):
        weight.mul_(part.view(weight.shape))
