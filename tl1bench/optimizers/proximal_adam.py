"""Proximal Adam: the prox in Adam's diagonal metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
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


class ProximalAdam(ProximalOptimizer):
    """w ← argmin_x Σ (x_i − w_i + η_i m̂_i)²/(2η_i) + P(x), η_i = η/(√v̂_i + ε).

    Each weight has a step, and so a threshold, of its own: elementwise penalties are exact weight
    by weight, the group lasso is solved by Newton. Penalties without a prox in a diagonal metric
    are refused. Weights with small gradients get large thresholds, so pruning is stronger where
    the loss is flat; ε bounds that. All thresholds follow the current η.

    Parameters
    ----------
    momentum, beta2
        β₁ and β₂ of Adam.
    eps
        ε > 0.

    Raises
    ------
    ConfigError
        `beta2` or `eps` is out of range, or as for `ProximalOptimizer`.

    Source: Deleu & Bengio, Structured sparsity inducing adaptive optimizers for deep learning
    (2021), algorithm 1; Yun, Lozano & Yang, NeurIPS (2021).
    """

    metric = True

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
        beta2: float = 0.999,
        eps: float = 1e-8,
        *,
        penalise: Penalise | None = None,
        param_groups: ParamGroups | None = None,
    ) -> None:
        if not 0 <= beta2 < 1:
            raise ConfigError(f"beta2 is {beta2!r}; give a number in [0, 1).")
        if not eps > 0:
            raise ConfigError(f"eps is {eps!r}; give a number > 0.")
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
            own={"beta2": beta2, "eps": eps, "taken": 0},
        )

    def _step(self) -> None:
        steps: dict[Tensor, Step] = {}
        for group in self.param_groups:
            moving = list(zip(*self._moving(group), strict=True))
            group["taken"] += bool(moving)
            for params, grads in alike(moving):
                steps |= self._moved(params, grads, group)
        self._regularise(
            self._penalised,
            {
                n: steps[p] if p in steps else torch.zeros_like(p)
                for n, p in self._penalised.items()
            },
        )

    def _moved(
        self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]
    ) -> dict[Tensor, Step]:
        """Move parameters of a group; return the steps that they took."""
        first, second = self._moments(params, grads, group)
        spread = torch._foreach_sqrt(second)
        torch._foreach_div_(spread, (1 - group["beta2"] ** group["taken"]) ** 0.5)
        torch._foreach_add_(spread, group["eps"])
        lr = float(group["lr"])
        torch._foreach_addcdiv_(
            params, first, spread, value=-lr / (1 - group["momentum"] ** group["taken"])
        )
        torch._foreach_reciprocal_(spread)
        torch._foreach_mul_(spread, lr)
        return dict(zip(params, spread, strict=True))

    def _moments(
        self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return both moment estimates, with the gradients taken in."""
        if group["weight_decay"]:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        first = [self._remembered(p, "exp_avg") for p in params]
        second = [self._remembered(p, "exp_avg_sq") for p in params]
        torch._foreach_lerp_(first, grads, 1 - group["momentum"])
        torch._foreach_mul_(second, group["beta2"])
        torch._foreach_addcmul_(second, grads, grads, 1 - group["beta2"])
        return first, second
