"""What an optimiser penalises: weights, by which penalty, in which groups, at which λ, until when.

Parameters may be added at any time, copies and states go on alike.
"""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.optimizers import _table
from tl1bench.optimizers._chosen import Penalise, chosen, portable, why_not
from tl1bench.optimizers._given import by_themselves, listed, named_of, whole_weights
from tl1bench.optimizers._operations import Operation, places
from tl1bench.optimizers._places import GroupPlace, key_of
from tl1bench.penalties import Penalty


class Regularised(torch.optim.Optimizer, ABC):
    """An optimiser of torch that knows which of its parameters are penalised, and how."""

    penalty: Penalty
    layer_weights: tuple[float, ...]
    groups: tuple[neurons.Groups, ...]
    needs_groups: bool
    _complete: bool
    _named: dict[str, Tensor]
    _penalise: Penalise | None
    _penalised: dict[str, Tensor]
    _reasons: dict[str, str]
    _side: str

    metric: ClassVar[bool] = False
    """Whether steps differ from weight to weight."""

    kept: ClassVar[tuple[str, ...]] = (
        "penalty", "layer_weights", "groups", "needs_groups",
        "_layers", "_named", "_penalise", "_penalised", "_reasons", "_side",
    )  # fmt: skip
    """What of an optimiser a copy of it needs besides torch's own; subclasses add theirs."""

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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Raises
        ------
        ConfigError
            It is the state of an optimiser of another kind; nothing was taken over.
        """
        needed = self.defaults.keys()
        lacking = [n for group in state_dict["param_groups"] for n in needed if n not in group]
        if lacking:
            raise ConfigError(
                f"The state has no {lacking[0]} and so is none of {type(self).__name__}: load "
                "what its own state_dict() returned, or begin without a state."
            )
        super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: getattr(self, name) for name in self.kept}
        return {**super().__getstate__(), **kept, "_penalise": portable(self._penalise)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state; the groups keep the sizes that they had in its network."""
        super().__setstate__(state)
        self._complete = True
        self._bind()

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
