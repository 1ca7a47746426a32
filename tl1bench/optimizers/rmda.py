"""Regularised dual averaging with momentum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tl1bench.kernels.memory import alike
from tl1bench.optimizers._base import (
    Inputs,
    Parameters,
    ParamGroups,
    Penalise,
    ProximalOptimizer,
    Sides,
)
from tl1bench.penalties import Penalty
from tl1bench.penalties._base import Step


class RMDA(ProximalOptimizer):
    """Dual averaging from W⁰: all gradients so far against all thresholds so far.

    With β_t = √t, s_t = η_t β_t and α_t = Σ s_k (t counted since the last restart):

        V_t = V_{t−1} + s_t g_t
        W̃_t = prox_{(α_t/β_t) P}(W⁰ − V_t/β_t)
        A_t = m A_{t−1} + (1−m) W̃_t,      W_t = A_t where W̃_t ≠ 0, else 0.

    Averaged gradients lose their noise, so the zero pattern of W̃_t settles after finitely many
    steps, where plain stochastic prox keeps reviving weights. The published W_t is A_t, whose zeros
    appear only in the limit; reading them off W̃_t changes no limit and makes them exact at once.
    λ wants to be about a quarter of ProximalSGD's. The threshold sums all past η: a late change of
    η changes it slowly; `restart` forgets. `freeze_zeros` restarts.

    Source: Huang & Lee, Training structured neural networks through manifold identification and
    variance reduction, ICLR (2022), algorithm 1.
    """

    def __init__(
        self,
        model: Parameters,
        penalty: Penalty,
        lr: float,
        momentum: float = 0.9,
        example_inputs: Inputs | None = None,
        groups: Sides = "outgoing",
        layer_weights: Sequence[float] | None = None,
        weight_decay: float = 0.0,
        *,
        penalise: Penalise | None = None,
        param_groups: ParamGroups | None = None,
    ) -> None:
        super().__init__(
            model,
            penalty,
            lr,
            momentum=momentum,
            example_inputs=example_inputs,
            groups=groups,
            layer_weights=layer_weights,
            weight_decay=weight_decay,
            penalise=penalise,
            param_groups=param_groups,
        )

    def restart(self) -> None:
        """Begin anew from the present weights: W⁰ ← W, V ← 0, t ← 0."""
        for group in self.param_groups:
            group["taken"], group["thresholds"] = 0, 0.0
            for p in group["params"]:
                for key in ("start", "dual", "average"):
                    self.state[p].pop(key, None)

    def freeze_zeros(self) -> None:
        """Start debiasing, as `ProximalOptimizer.freeze_zeros`, from the present weights."""
        super().freeze_zeros()
        self.restart()

    def _step(self) -> None:
        steps: dict[Tensor, Step] = {}
        for group in self.param_groups:
            moving = list(zip(*self._moving(group), strict=True))
            if not moving:
                continue
            group["taken"] = group.get("taken", 0) + 1
            beta = math.sqrt(group["taken"])
            stride = float(group["lr"]) * beta
            group["thresholds"] = group.get("thresholds", 0.0) + stride
            for params, grads in alike(moving):
                self._move(params, grads, group["weight_decay"], stride, beta)
                steps |= dict.fromkeys(params, group["thresholds"] / beta)
        self._regularise(
            self._penalised, {n: steps.get(p, 0.0) for n, p in self._penalised.items()}
        )
        for group in self.param_groups:
            rows = [(p, self.state[p]["average"]) for p in group["params"] if p in steps]
            for params, averages in alike(rows if group["momentum"] else ()):
                torch._foreach_lerp_(averages, params, 1 - group["momentum"])
                for p, average in zip(params, averages, strict=True):
                    p.copy_(average * (p != 0))

    def _move(
        self, params: list[Tensor], grads: list[Tensor], decay: float, stride: float, beta: float
    ) -> None:
        """Take in gradients; move parameters to where their sum leads from the start."""
        if decay:
            grads = list(torch._foreach_add(grads, params, alpha=decay))
        dual = [self._remembered(p, "dual") for p in params]
        torch._foreach_add_(dual, grads, alpha=stride)
        for p in params:  # shards have no such operation over lists
            self._remembered(p, "average", _copy)
            p.copy_(self._remembered(p, "start", _copy))
        torch._foreach_add_(params, dual, alpha=-1 / beta)


def _copy(p: Tensor) -> Tensor:
    return p.detach().clone()
