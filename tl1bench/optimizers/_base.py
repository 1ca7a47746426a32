"""What every proximal optimiser shares: penalised weights, groups, λ ramp, frozen zeros.

A step is a gradient step of the loss (plus weight decay), then the prox of the penalty on the
penalised weights, layer by layer and part by part, at the current learning rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.optimizers._places import GroupPlace, Operation, key_of, places
from tl1bench.penalties import Penalty
from tl1bench.penalties._base import Step

Sides: TypeAlias = str | Sequence[str] | Sequence[neurons.Groups]
Inputs: TypeAlias = Tensor | tuple[Tensor, ...]
Parameters: TypeAlias = nn.Module | Iterable[Tensor] | Iterable[dict[str, Any]]


class ProximalOptimizer(torch.optim.Optimizer, ABC):
    """A stochastic proximal method on loss(W) + Σ_l c_l P_l(W_l).

    Parameters
    ----------
    model
        A network: all its trainable parameters are optimised, convolution and linear weights are
        penalised. Or parameters (or param_groups) alone: those with two or more axes are
        penalised, by an elementwise penalty.
    penalty
        See `tl1bench.penalties`.
    lr, momentum
        η, whose current value the prox uses, so schedulers move the threshold too; m in [0, 1).
    example_inputs
        What the network is traced with to find its groups; not needed for elementwise penalties.
    groups
        Side from which neurons are seen: "outgoing", "incoming", "both", "as_coded", or one for
        each weight layer; or the groups, found before. With "both", a penalty that does not split
        into an elementwise and a group term acts on each weight twice.
    layer_weights
        c_l, one for each weight layer; 1 by default.
    weight_decay
        ℓ2 coefficient added to the gradient of every parameter.
    own
        What an optimiser keeps in its `param_groups` besides.

    Raises
    ------
    ConfigError
        A value is out of range, a list too long or short, or there is nothing to trace.

    Notes
    -----
    Zero means exactly 0.0. The ramp, the frozen flag and the original group sizes live in
    `param_groups`, so that `state_dict` resumes bit for bit.
    """

    metric = False
    """Whether steps differ from weight to weight."""

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
        own: Mapping[str, Any] | None = None,
    ) -> None:
        _check_numbers(lr, momentum, weight_decay)
        self.penalty = penalty
        trained, self._penalised = _split(model)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "lam_scale": 1.0,
            "frozen": False,
            "members": {},
        }
        super().__init__(trained, {**defaults, **(own or {})})
        count = len(self._penalised)
        self.layer_weights = _layer_weights(layer_weights, count)
        self._layers = [penalty.at_layer(i, count) for i in range(count)]
        parts = [part for layer in self._layers for part in layer.composition()]
        if self.metric:
            for part in parts:
                part.check_diagonal()
        self.needs_groups = any(not part.elementwise for part in parts)
        self.regroup(_found_groups(model, example_inputs, groups) if self.needs_groups else ())

    def regroup(self, groups: Sequence[neurons.Groups]) -> None:
        """Take the groups of a network whose parameters (and state) were sliced in place.

        s_g stays that of the original network, found by where a block's slices lie.
        """
        self.groups = tuple(groups)
        original: dict[str, list[int]] = self.param_groups[0]["members"]
        if not original:
            for block in groups:
                original.setdefault(key_of(block), []).append(block.members)
        self._bind()

    @property
    def lam_scale(self) -> float:
        """The factor on λ: a ramp sets it before each step."""
        return float(self.param_groups[0]["lam_scale"])

    @lam_scale.setter
    def lam_scale(self, factor: float) -> None:
        if not factor >= 0:
            raise ConfigError(f"lam_scale is {factor!r}; give a number ≥ 0.")
        for group in self.param_groups:
            group["lam_scale"] = float(factor)

    @property
    def frozen(self) -> bool:
        """Whether the zero pattern is frozen and the penalty gone."""
        return bool(self.param_groups[0]["frozen"])

    @torch.no_grad()
    def freeze_zeros(self) -> None:
        """Start debiasing: zeros of penalised weights stay zero, the penalty acts no more."""
        for group in self.param_groups:
            group["frozen"] = True
        for p in self._penalised.values():
            if p.requires_grad:
                self.state[p]["mask"] = (p != 0).to(p.dtype)

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
        with torch.no_grad():
            self._step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; the groups keep the sizes that they had in its network."""
        super().load_state_dict(state_dict)
        self._bind()

    @abstractmethod
    def _step(self) -> None:
        """Move the parameters along the loss and call `_regularise`."""

    def _regularise(self, tensors: Mapping[str, Tensor], steps: Mapping[str, Step]) -> None:
        """Apply the prox, or the frozen pattern, to `tensors` in place; both are complete."""
        if self.frozen:
            held = {n: self.state[p]["mask"] for n, p in self._penalised.items() if p.requires_grad}
            torch._foreach_mul_([tensors[n] for n in held], list(held.values()))
            return
        for part, factor, place in self._current(self.lam_scale):
            if part.lam * factor > 0:
                place.prox_(part, tensors, steps, factor)

    def _current(self, scale: float) -> Iterator[Operation]:
        """Yield each operation with λ scaled: in the factor on its step, or in the penalty."""
        for part, weight, place in self._operations:
            if part.homogeneous:
                yield part, weight * scale, place
            else:
                yield part.with_lam(part.lam * scale), weight, place

    def _bind(self) -> None:
        """List what the prox does, in order: part by part, each on all layers."""
        original: Mapping[str, Sequence[int]] = self.param_groups[0]["members"]
        seen: Counter[str] = Counter()
        blocks = []
        for groups in self.groups:
            key = key_of(groups)
            sizes = original.get(key, [groups.members])
            members = sizes[min(seen[key], len(sizes) - 1)]
            seen[key] += 1
            blocks.append((groups.layer, GroupPlace.of(groups, self._penalised, members)))
        self._operations: list[Operation] = places(
            self._layers, self.layer_weights, blocks, tuple(self._penalised)
        )


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


def _split(model: Parameters) -> tuple[list[Any], dict[str, nn.Parameter]]:
    """Return what torch's optimiser takes, and the penalised weights by name in layer order."""
    if isinstance(model, nn.Module):
        named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        return list(named.values()), {
            n: model.get_parameter(n) for n in neurons.weight_layers(model)
        }
    given: list[Any] = list(model)
    flat: list[Any] = [p for g in given for p in (g["params"] if isinstance(g, dict) else [g])]
    return given, {str(i): p for i, p in enumerate(flat) if p.dim() >= 2}


def _found_groups(
    model: Parameters, example_inputs: Inputs | None, groups: Sides
) -> tuple[neurons.Groups, ...]:
    """Return the groups as given, else those of the traced network seen from the sides given."""
    given = tuple(block for block in groups if isinstance(block, neurons.Groups))
    if not isinstance(model, nn.Module) or (example_inputs is None and not given):
        raise ConfigError(
            "this penalty acts on groups of weights: give the optimizer the network "
            "itself and example_inputs=x to find them with."
        )
    if given or example_inputs is None:
        return given
    sides: Any = groups
    try:
        return neurons.groups(model, example_inputs, sides)
    except ValueError as error:
        raise ConfigError(f"groups is {sides!r}: {error}") from error
