"""What every proximal optimiser shares: what it is given, and what a step is.

A step is a gradient step of the loss (plus weight decay), then the prox of the penalty on the
penalised weights, layer by layer and part by part, at the current learning rate.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.kernels.memory import alike
from tl1bench.kernels.momentum import Moves
from tl1bench.optimizers._chosen import Penalise
from tl1bench.optimizers._given import Given, Inputs, Parameters, ParamGroups, Sides
from tl1bench.optimizers._on_card import OnCard
from tl1bench.optimizers._operations import Operation
from tl1bench.optimizers._regularised import Regularised
from tl1bench.penalties import Penalty
from tl1bench.penalties._base import Step

__all__ = ["Inputs", "ParamGroups", "Parameters", "Penalise", "ProximalOptimizer", "Sides"]


class ProximalOptimizer(Regularised):
    """A stochastic proximal method on loss(W) + Σ_l c_l P_l(W_l).

    Parameters
    ----------
    model
        A network: all its parameters are optimised, the weights of its convolution, linear,
        recurrent, attention and embedding layers are penalised. Or parameters, pairs of a name and
        a parameter, or param_groups alone: those with two or more axes are penalised, and each has
        its own columns or rows as groups.
    penalty
        See `tl1bench.penalties`.
    lr, momentum
        η, whose current value the prox uses, so schedulers move the threshold too; m in [0, 1).
    example_inputs
        What the network is traced with to find its groups; elementwise penalties and parameters
        without a network need none.
    groups
        Side from which neurons are seen: "outgoing", "incoming", "both", "as_coded", or one for
        each weight layer; or the groups, found before. With "both", a penalty that does not split
        into an elementwise and a group term acts on each weight twice.
    layer_weights
        c_l, one for each weight layer; 1 by default.
    weight_decay
        ℓ2 coefficient added to the gradient of every parameter.
    penalise
        Which parameters are penalised instead, later ones included: names, with * and ? as in a
        shell, or a function of name and parameter. `table` says what became of each.
    param_groups
        The network's parameters in groups with rates of their own; what is in none is not trained.
    own
        What an optimiser keeps in its `param_groups` besides.

    Raises
    ------
    ConfigError
        A value is out of range, a list too long or short, a name unknown, there is nothing to
        trace, or groups of weights are asked for where weights are sharded.

    Notes
    -----
    Parameters without a gradient rest, so that layers can be unfrozen at any time.
    Zero means exactly 0.0. The ramp, the frozen flag and the original group sizes live in
    `param_groups`, so that `state_dict` resumes bit for bit.
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
        own: Mapping[str, Any] | None = None,
    ) -> None:
        _check_numbers(lr, momentum, weight_decay)
        given = Given.read(model, penalise, param_groups)
        self.penalty, self._penalise = penalty, penalise
        self._named, self._penalised, self._reasons = given.named, given.penalised, given.reasons
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "lam_scale": 1.0,
            "frozen": False,
            "members": {},
        }
        self._complete = False
        super().__init__(given.trained, {**defaults, **(own or {})})
        self._complete = True
        self.layer_weights = _layer_weights(layer_weights, len(self._penalised))
        self._layer()
        self._side = groups if groups in neurons.SIDES else "outgoing"
        self.regroup(given.groups(example_inputs, groups, penalty) if self.needs_groups else ())
        if penalty.lam > 0:
            given.warn()

    @torch.no_grad()
    def penalty_value(self) -> Tensor:
        """Return Σ_l c_l P_l(W_l) at the current λ, its ramp included: a scalar."""
        values = [
            factor * place.value(part, self._penalised)
            for part, factor, place in self._current(self.lam_scale)
        ]
        return torch.stack(values).sum() if values else torch.zeros(())

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; `closure` re-evaluates the loss and returns it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._advance()
        return loss

    @_disable_dynamo  # a compiled loop steps as any other: what C does cannot be traced
    def _advance(self) -> None:
        with torch.no_grad():
            self._step()

    @abstractmethod
    def _step(self) -> None:
        """Move the parameters along the loss and call `_regularise`."""

    @staticmethod
    def _moving(group: Mapping[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters of a group that have a gradient, and the gradients."""
        params = [p for p in group["params"] if p.grad is not None]
        grads = [p.grad if p.grad.layout is torch.strided else p.grad.to_dense() for p in params]
        return params, grads

    def _remembered(
        self, p: Tensor, name: str, first: Callable[[Tensor], Tensor] = torch.zeros_like
    ) -> Tensor:
        """Return what the state has of a parameter, in its dtype; `first` makes it."""
        state = self.state[p]
        found: Tensor | None = state.get(name)
        if found is None or found.dtype is not p.dtype:
            found = state[name] = first(p) if found is None else found.to(p.dtype)
        return found

    def _regularise(
        self,
        tensors: Mapping[str, Tensor],
        steps: Mapping[str, Step],
        moves: Moves | None = None,
        on_card: OnCard | None = None,
    ) -> None:
        """Apply the prox, or the frozen pattern, to `tensors` in place; both are complete.

        `moves` and `on_card` have weights that are still to be moved.
        """
        moves, on_card = moves or Moves(), on_card or OnCard()
        if self.frozen:
            moves.finish_all()
            on_card.finish()
            masks = {n: self.state.get(p, {}).get("mask") for n, p in self._penalised.items()}
            held = [(tensors[n], mask) for n, mask in masks.items() if mask is not None]
            for weights, zeros in alike(held):
                torch._foreach_mul_(weights, zeros)
            return
        for part, factor, place in self._current(self.lam_scale):
            if part.lam * factor > 0:
                moves.finish(tensors[name] for name in place.names)
                if not on_card.prox_(part, place, tensors, steps, factor):
                    place.prox_(part, tensors, steps, factor, moves.queue)
        moves.finish_all()
        on_card.finish()

    def _current(self, scale: float) -> Iterator[Operation]:
        """Yield each operation with λ scaled: in the factor on its step, or in the penalty."""
        for part, weight, place in self._operations:
            if part.homogeneous:
                yield part, weight * scale, place
            else:
                yield part.with_lam(part.lam * scale), weight, place


def _check_numbers(lr: float, momentum: float, weight_decay: float) -> None:
    if not lr >= 0:
        raise ConfigError(f"lr is {lr!r}; give a number ≥ 0.")
    if not 0 <= momentum < 1:
        raise ConfigError(f"momentum is {momentum!r}; give a number in [0, 1).")
    if not weight_decay >= 0:
        raise ConfigError(f"weight_decay is {weight_decay!r}; give a number ≥ 0.")


def _layer_weights(given: Sequence[float] | None, count: int) -> tuple[float, ...]:
    """Return c_l of each of `count` layers."""
    weights = tuple(given) if given is not None else (1.0,) * count
    if len(weights) != count or any(not c >= 0 for c in weights):
        raise ConfigError(
            f"layer_weights is {list(weights)}; give {count} numbers ≥ 0, "
            "one for each weight layer."
        )
    return weights
