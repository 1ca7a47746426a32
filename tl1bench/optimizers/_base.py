"""What every proximal optimiser shares: penalised weights, groups, λ ramp, frozen zeros.

A step is a gradient step of the loss (plus weight decay), then the prox of the penalty on the
penalised weights, layer by layer and part by part, at the current learning rate.

Long because the whole contract with torch's optimisers stands in one class.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.kernels.momentum import Moves
from tl1bench.optimizers import _table
from tl1bench.optimizers._chosen import Penalise, chosen, portable, why_not
from tl1bench.optimizers._given import (
    Given,
    Inputs,
    Parameters,
    ParamGroups,
    Sides,
    by_themselves,
    listed,
    named_of,
    whole_weights,
)
from tl1bench.optimizers._on_card import OnCard
from tl1bench.optimizers._operations import Operation, places
from tl1bench.optimizers._places import GroupPlace, key_of
from tl1bench.penalties import Penalty
from tl1bench.penalties._base import Step

__all__ = ["Inputs", "ParamGroups", "Parameters", "Penalise", "ProximalOptimizer", "Sides"]


class ProximalOptimizer(torch.optim.Optimizer, ABC):
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

    metric: ClassVar[bool] = False
    """Whether steps differ from weight to weight."""

    kept: ClassVar[tuple[str, ...]] = (
        "penalty", "layer_weights", "groups", "needs_groups",
        "_layers", "_named", "_penalise", "_penalised", "_reasons", "_side",
    )  # fmt: skip
    """What of an optimiser a copy of it needs besides torch's own; subclasses add theirs."""

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

    def _layer(self) -> None:
        """Give each penalised weight the penalty of its layer."""
        count = len(self._penalised)
        self._layers = [self.penalty.at_layer(i, count) for i in range(count)]
        parts = [part for layer in self._layers for part in layer.composition()]
        if self.metric:
            for part in parts:
                part.check_diagonal()
        self.needs_groups = any(not part.elementwise for part in parts)

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
        self._mask(self._penalised)

    def _mask(self, weights: Mapping[str, Tensor]) -> None:
        for p in weights.values():
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
        self._advance()
        return loss

    @_disable_dynamo  # a compiled loop steps as any other: what C does cannot be traced
    def _advance(self) -> None:
        with torch.no_grad():
            self._step()

    def table(self) -> tuple[_table.Row, ...]:
        """Return for each parameter how it is penalised and in which groups, or why it is not."""
        layers = zip(self._penalised, self._layers, self.layer_weights, strict=True)
        return _table.rows(
            self._named, {n: (p, c) for n, p, c in layers}, self.groups, self._reasons
        )

    def __repr__(self) -> str:
        """Return torch's lines and the table."""
        return f"{super().__repr__()}\n{_table.printed(self.table())}"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take in parameters later, as layers behind; their groups are their own columns or rows.

        Penalised are those that `penalise` of the group names, or that of the optimiser where the
        group has none; without either, those with two axes or more.

        Raises
        ------
        ConfigError
            A name is taken or unknown, or groups of weights are asked for where weights are
            sharded.
        """
        if not self._complete:
            super().add_param_group(param_group)
            return
        group = listed([param_group])[0]
        named = named_of([group], first=len(self._named))
        if not named.keys().isdisjoint(self._named):
            raise ConfigError(f"there is a parameter {min(named.keys() & self._named)} already.")
        weights, reasons = self._chosen_of(named, group.pop("penalise", None))
        if "param_names" not in self.param_groups[0]:
            group["params"] = list(named.values())
        first = self.param_groups[0]
        super().add_param_group(
            {"lam_scale": first["lam_scale"], "frozen": first["frozen"], **group}
        )
        self._named |= named
        self._reasons |= reasons
        start = len(self._penalised)
        self._penalised |= weights
        self.layer_weights += (1.0,) * len(weights)
        self._layer()
        if self.frozen:
            self._mask(weights)
        blocks: tuple[neurons.Groups, ...] = ()
        if self.needs_groups:
            whole_weights(weights, self.penalty)
            blocks = by_themselves(weights, self._side)
        original = first["members"]
        original |= {key_of(block): [block.members] for block in blocks}
        behind = (dataclasses.replace(b, layer=b.layer + start) for b in blocks)
        self.regroup((*self.groups, *behind))

    def _chosen_of(
        self, named: Mapping[str, Tensor], penalise: Penalise | None
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return the penalised ones of later parameters, and why the others are not."""
        matrices = [name for name, p in named.items() if p.dim() > 1]
        rule, known = (self._penalise, self._named) if penalise is None else (penalise, {})
        names = set(chosen(rule, named, matrices, known))
        reasons = {name: why_not(p) for name, p in named.items() if name not in names}
        return {name: p for name, p in named.items() if name in names}, reasons

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self.kept}
        return {**super().__getstate__(), **kept, "_penalise": portable(self._penalise)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state; the groups keep the sizes that they had in its network."""
        super().__setstate__(state)
        self._complete = True
        self._bind()

    @abstractmethod
    def _step(self) -> None:
        """Move the parameters along the loss and call `_regularise`."""

    @staticmethod
    def _moving(group: Mapping[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parameters of a group that have a gradient, and the gradients."""
        params = [p for p in group["params"] if p.grad is not None]
        grads = [p.grad if p.grad.layout is torch.strided else p.grad.to_dense() for p in params]
        return params, grads

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
            held = {n: mask for n, mask in masks.items() if mask is not None}
            if held:
                torch._foreach_mul_([tensors[n] for n in held], list(held.values()))
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
