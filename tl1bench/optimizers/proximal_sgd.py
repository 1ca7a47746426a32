"""Proximal stochastic gradient descent with momentum: the paper's optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.optimizers._base import Parameters, ProximalOptimizer
from tl1bench.penalties import Penalty

FORMS = ("averaged", "heavy_ball")


class ProximalSGD(ProximalOptimizer):
    """w ← prox_{η P}(w − η v), with v an average of gradients.

    "averaged": v ← m v + (1−m) g, threshold from η. "heavy_ball": v ← m v + g, threshold from
    η/(1−m), which makes it the same method as "averaged" with η/(1−m): heavy-ball's velocity is
    1/(1−m) times a gradient, and a threshold from η alone would re-animate zeros.

    The threshold follows the current η. A schedule that takes η to 0 ends with thresholds of 0,
    and gradient noise then wins over the penalty: keep η constant while zeros are to be made, and
    let it fall once they are frozen. A weight without a gradient rests. See `ProximalOptimizer`
    for the parameters.

    Parameters
    ----------
    momentum_form
        "averaged" or "heavy_ball".

    Source: Ma et al., Neural Networks 119 (2019), for m = 0.
    """

    def __init__(
        self,
        model: Parameters,
        penalty: Penalty,
        lr: float,
        momentum: float = 0.9,
        *args: Any,
        momentum_form: str = "averaged",
        **options: Any,
    ) -> None:
        if momentum_form not in FORMS:
            raise ConfigError(
                f"momentum_form is {momentum_form!r}; give one of {', '.join(FORMS)}."
            )
        self.averaged = momentum_form == "averaged"
        super().__init__(model, penalty, lr, momentum, *args, **options)

    def _step(self) -> None:
        rates: dict[Tensor, float] = {}
        for group in self.param_groups:
            lr, m, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
            params = [p for p in group["params"] if p.grad is not None]
            moves = [p.grad for p in params]
            if not params:
                continue
            rates |= dict.fromkeys(params, lr if self.averaged else lr / (1 - m))
            if decay:
                moves = list(torch._foreach_add(moves, params, alpha=decay))
            if m:
                moves = self._averages(params, moves, m)
            torch._foreach_add_(params, moves, alpha=-lr)
        self._regularise(
            self._penalised, {n: rates.get(p, 0.0) for n, p in self._penalised.items()}
        )

    def _averages(self, params: list[Tensor], grads: list[Tensor], m: float) -> list[Tensor]:
        """Return the momentum buffers, with `grads` taken in."""
        averages = []
        for p in params:
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(p)
            averages.append(state["momentum_buffer"])
        if self.averaged:
            torch._foreach_lerp_(averages, grads, 1 - m)
        else:
            torch._foreach_mul_(averages, m)
            torch._foreach_add_(averages, grads)
        return averages
