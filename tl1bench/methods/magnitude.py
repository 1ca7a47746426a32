"""Iterative magnitude pruning: each step keeps the largest weights, training goes on in between."""

from __future__ import annotations

import torch

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.method import Method, Start, plain_optimizer


class Magnitude(Method):
    """Keep the share s_k = s_0 / γ^k of the dense network's weights with the largest |w|.

    Parameters
    ----------
    scope
        "global" ranks all weights together, "layer" those of each layer by themselves.
    first
        s_0, in (0, 1).

    Raises
    ------
    ConfigError
        A value is out of range.

    Source: Han, Pool, Tran & Dally, NeurIPS 2015 (by layer); Frankle & Carbin, ICLR 2019 (global,
    iterative).
    """

    def __init__(self, scope: str = "global", first: float = 0.5) -> None:
        if scope not in ("global", "layer"):
            raise ConfigError(f"scope is {scope!r}; give global or layer.")
        if not 0 < first < 1:
            raise ConfigError(f"first is {first!r}; give a share between 0 and 1.")
        self.scope, self.first, self._share = scope, first, 0.0

    def __repr__(self) -> str:
        return f"Magnitude({self.scope}, {self.first})"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return momentum SGD."""
        self._start, self._optimizer = start, plain_optimizer(start.model, start.lr)
        self._sizes = {n: w.numel() for n, w in self._weights().items()}
        return self._optimizer

    def advance(self, left: float) -> float:  # noqa: ARG002
        """Zero the smallest weights and hold the zeros."""
        self._share = self._share / self._start.growth if self._share else self.first
        weights = self._weights()
        blocks = [weights] if self.scope == "global" else [{n: w} for n, w in weights.items()]
        with torch.no_grad():
            for block in blocks:
                keep = max(1, round(self._share * sum(self._sizes[n] for n in block)))
                _keep_largest(list(block.values()), keep)
        self._optimizer.freeze_zeros()
        return self._share

    def state(self) -> dict[str, float]:
        """Return the share kept."""
        return {"share": self._share}

    def resume(self, state: dict[str, float]) -> None:
        """Take over the share kept, and hold the zeros."""
        self._share = state["share"]
        if self._share:
            self._optimizer.freeze_zeros()

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
