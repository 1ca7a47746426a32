"""Proximal stochastic gradient descent with momentum: the paper's optimiser."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tl1bench.errors import ConfigError
from tl1bench.kernels.memory import alike
from tl1bench.kernels.momentum import Momentum, Moves
from tl1bench.optimizers._base import (
    Inputs,
    Parameters,
    ParamGroups,
    Penalise,
    ProximalOptimizer,
    Sides,
)
from tl1bench.optimizers._on_card import OnCard
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

    Raises
    ------
    ConfigError
        `momentum_form` is unknown, or as for `ProximalOptimizer`.

    Source: Ma et al., Neural Networks 119 (2019), for m = 0.
    """

    kept = (*ProximalOptimizer.kept, "averaged")

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
        momentum_form: str = "averaged",
        *,
        penalise: Penalise | None = None,
        param_groups: ParamGroups | None = None,
    ) -> None:
        if momentum_form not in FORMS:
            raise ConfigError(
                f"momentum_form is {momentum_form!r}; give one of {', '.join(FORMS)}."
            )
        self.averaged = momentum_form == "averaged"
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

    def _step(self) -> None:
        rates: dict[Tensor, float] = {}
        moves, on_card = Moves(), OnCard()
        for group in self.param_groups:
            lr, m = float(group["lr"]), group["momentum"]
            params, grads = self._moving(group)
            rates |= dict.fromkeys(params, lr if self.averaged else lr / (1 - m))
            rule = Momentum(m, 1 - m if self.averaged else 1.0, group["weight_decay"], lr)
            buffers = [self._remembered(p, "momentum_buffer") for p in params] if m else grads
            now = [
                each
                for each in zip(params, grads, buffers, strict=True)
                if not (on_card.add(rule, *each) or moves.add(rule, *each))
            ]
            for columns in alike(now):
                rule.step_(*columns)
        steps = {n: rates.get(p, 0.0) for n, p in self._penalised.items()}
        self._regularise(self._penalised, steps, moves, on_card)
