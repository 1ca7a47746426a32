"""Penalised training: λ rises from step to step, the prox makes the zeros."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn

from tl1bench import neurons, optimizers
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.penalties import Penalty
from tl1bench.training.method import Method, Start

_BISECTIONS = 24
_NOTHING = 0.02
_RAMP = 0.5


class Penalised(Method):
    """λ_k = λ_0 γ^k, rising linearly from λ_{k−1} over the first half of each step.

    λ_0 is the λ at which the prox alone, without any loss, zeroes half of the weights within one
    step's iterations. Where weights have a free scale (before a BatchNorm) that is too low: while
    a step takes less than 2 % of the weights, λ rises by γ² instead, then γ⁴ and so on.

    Parameters
    ----------
    penalty
        Any penalty of `tl1bench.penalties`; its λ is not looked at.
    half
        Share of the weights that λ_0 alone zeroes, in (0, 1).
    layer_weights
        As for `ProximalSGD`.
    lams
        The λ of each step, rising, instead of those that are found.
    optimizer
        File of `tl1bench.optimizers`.
    growth
        γ > 1; the path's when None. A smaller one gives more points where a path has few.

    Raises
    ------
    ConfigError
        `half` or `growth` is out of range, λ does not rise, or both growth and λs are given.
    """

    def __init__(
        self,
        penalty: Penalty,
        half: float = 0.5,
        layer_weights: tuple[float, ...] | None = None,
        lams: tuple[float, ...] = (),
        optimizer: str = "proximal_sgd",
        growth: float | None = None,
    ) -> None:
        if not 0 < half < 1:
            raise ConfigError(f"half is {half!r}; give a share between 0 and 1.")
        if any(b <= a for a, b in pairwise((0.0, *lams))):
            raise ConfigError(f"lams is {list(lams)!r}; give numbers above 0, each larger.")
        if growth is not None and not growth > 1:
            raise ConfigError(f"growth is {growth!r}; give a number > 1, or none for the path's.")
        if growth is not None and lams:
            raise ConfigError(f"growth is {growth!r}, but the λs are given; drop one of them.")
        self.penalty = penalty.with_lam(1.0)
        self.half, self.layer_weights, self.lams = half, layer_weights, lams
        self.growth, self.optimizer, self._kind = growth, optimizer, optimizers.kind(optimizer)
        self._lam = self._before = 0.0
        self._haste, self._left = 1.0, 1.0

    def __repr__(self) -> str:
        options = (self.penalty, self.half, self.layer_weights, self.lams, self.optimizer)
        own = () if self.growth is None else (self.growth,)  # or old checkpoints would be refused
        return f"Penalised{options + own!r}"

    def begin(self, start: Start) -> ProximalOptimizer:
        """Return a proximal optimiser at λ = 0."""
        self._start = start
        self._optimizer = self._made(start.model)
        self._optimizer.lam_scale = 0.0
        return self._optimizer

    def advance(self, left: float) -> float:
        """Raise λ; see the class.

        Raises
        ------
        ConfigError
            There are λs for fewer steps than are walked.
        """
        if self.lams:
            rest = [lam for lam in self.lams if lam > self._lam]
            if not rest:
                raise ConfigError(f"There are {len(self.lams)} λs and no more: take as many steps.")
            self._before, self._lam = self._lam, rest[0]
        elif not self._lam:
            self._lam = self.first_lam()
        else:
            idle = self._left - left < _NOTHING * self._left and left > self.half
            self._haste = 2 * self._haste if idle else 1.0
            self._before = self._lam
            self._lam *= (self.growth or self._start.growth) ** self._haste
        self._left = left
        return self._lam

    def during(self, share: float) -> None:
        """Let λ rise."""
        risen = min(1.0, share / _RAMP)
        self._optimizer.lam_scale = self._before + risen * (self._lam - self._before)

    def state(self) -> dict[str, float]:
        """Return λ, the λ before, and how fast it rises."""
        return {
            "lam": self._lam, "before": self._before, "haste": self._haste, "left": self._left,
        }  # fmt: skip

    def resume(self, state: dict[str, float]) -> None:
        """Take over λ."""
        self._lam, self._before = state["lam"], state["before"]
        self._haste, self._left = state["haste"], state["left"]
        self._optimizer.lam_scale = self._lam

    def first_lam(self) -> float:
        """Return λ_0, found by bisection of log λ between 1e-9 and 1e3.

        Raises
        ------
        ConfigError
            No λ zeroes that share, which happens with penalties that shrink but never to zero.
        """
        low, high = 1e-9, 1e3
        # One prox, not a step's: a weight that only ever halves underflows in the end.
        if self._decayed(high, 1) < self.half:
            raise ConfigError(
                f"{type(self.penalty).__name__} makes no zeros at any strength: a path needs a "
                "penalty whose prox reaches 0."
            )
        for _ in range(_BISECTIONS):
            middle = (low * high) ** 0.5
            if self._decayed(middle, self._start.iterations * self._start.epochs) < self.half:
                low = middle
            else:
                high = middle
            if high < 1.05 * low:
                break
        return float((low * high) ** 0.5)

    def _made(self, model: nn.Module) -> ProximalOptimizer:
        return self._kind(
            model,
            self.penalty,
            lr=self._start.lr,
            groups=self._start.anatomy.groups or "outgoing",
            example_inputs=self._start.example_inputs,
            layer_weights=self.layer_weights,
        )

    @torch.no_grad()
    def _decayed(self, lam: float, iterations: int) -> float:
        """Return the share of weights that so many proxes alone make zero."""
        model = copy.deepcopy(self._start.model)
        optimizer = self._made(model)
        optimizer.lam_scale = lam
        weights = [model.get_parameter(n) for n in neurons.weight_layers(model)]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        total = sum(w.numel() for w in weights)
        for _ in range(iterations):
            optimizer.step()
            zero = 1 - sum(int(torch.count_nonzero(w)) for w in weights) / total
            if zero >= self.half:
                break
        return zero
