"""What an optimiser is given: a network or parameters, which of them are penalised, and why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from tl1bench import neurons
from tl1bench.errors import ConfigError
from tl1bench.kernels.memory import shard
from tl1bench.neurons.weights import UNKNOWN, alone, exempt
from tl1bench.optimizers._chosen import Penalise, chosen, why_not
from tl1bench.penalties import Penalty
from tl1bench.tracing.capture import bare

Sides: TypeAlias = str | Sequence[str] | Sequence[neurons.Groups]
Inputs: TypeAlias = Tensor | tuple[Tensor, ...]
Named: TypeAlias = tuple[str, Tensor]
Parameters: TypeAlias = nn.Module | Iterable[Tensor] | Iterable[Named] | Iterable[dict[str, Any]]
ParamGroups: TypeAlias = Iterable[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Given:
    """What to optimise.

    `trained` is what torch's optimiser takes; `named` are all parameters by name, `penalised` those
    of them that a penalty acts on, in layer order, and `reasons` says why each other one is not.
    `network` is None where parameters alone were given.
    """

    trained: list[Any]
    named: dict[str, Tensor]
    penalised: dict[str, Tensor]
    reasons: dict[str, str]
    network: nn.Module | None

    @classmethod
    def read(
        cls, model: Parameters, penalise: Penalise | None, param_groups: ParamGroups | None
    ) -> Given:
        """Take apart what an optimiser was given.

        Raises
        ------
        ConfigError
            A name is unknown, a weight has no shape yet, or groups are not of the network.
        """
        if isinstance(model, nn.Module):
            return cls._of_network(bare(model), penalise, param_groups)
        if param_groups is not None:
            raise ConfigError("param_groups= goes with a network: give the network first.")
        trained = listed(model)
        return cls._of(trained, named_of(trained), None, penalise, None)

    @classmethod
    def _of_network(
        cls, network: nn.Module, penalise: Penalise | None, param_groups: ParamGroups | None
    ) -> Given:
        named: dict[str, Tensor] = dict(network.named_parameters())
        for name, p in named.items():
            if isinstance(p, nn.UninitializedParameter):
                raise ConfigError(f"{name} has no shape yet: run the network once before.")
        if param_groups is None:
            trained: list[Any] = list(named.values())
        else:
            trained = listed(param_groups)
            own, given = set(named.values()), set(named_of(trained).values())
            if not given <= own:
                raise ConfigError("param_groups= has parameters that are not the network's.")
            named = {name: p for name, p in named.items() if p in given}
        return cls._of(trained, named, exempt(network), penalise, network)

    @classmethod
    def _of(
        cls,
        trained: list[Any],
        named: dict[str, Tensor],
        reasons: Mapping[str, str] | None,
        penalise: Penalise | None,
        network: nn.Module | None,
    ) -> Given:
        if reasons is None:
            reasons = {n: why_not(p) for n, p in named.items() if p.dim() < 2 or not p.numel()}
        weights = [name for name in named if name not in reasons]
        if network is not None:
            weights = [name for name in neurons.weight_layers(network) if name in named]
        names = chosen(penalise, named, weights)
        if penalise is not None:  # what it leaves out is left out on purpose
            reasons = {name: why for name, why in reasons.items() if not why.endswith(UNKNOWN)}
        return cls(
            trained,
            named,
            {name: named[name] for name in names},
            {n: reasons.get(n, why_not(p)) for n, p in named.items() if n not in set(names)},
            network,
        )

    def groups(
        self, example_inputs: Inputs | None, sides: Sides, penalty: Penalty
    ) -> tuple[neurons.Groups, ...]:
        """Return the groups as given, else those seen from the sides given.

        Those of a network are found by tracing it; weights given by themselves are seen by
        themselves, a unit a column or a row.

        Raises
        ------
        ConfigError
            They cannot be found, or lie in what is not penalised.
        """
        whole_weights(self.penalised, penalty)
        given = tuple(block for block in sides if isinstance(block, neurons.Groups))
        outside = {n for block in given for n in (s.tensor for s in block.slices)}
        outside -= self.penalised.keys()
        if outside:
            raise ConfigError(f"groups lie in {min(outside)}, which is not penalised.")
        if given:
            return given
        wanted: Any = sides
        if self.network is None:
            return by_themselves(self.penalised, wanted)
        if example_inputs is None:
            raise ConfigError(
                "this penalty acts on groups of weights: give the optimizer the network "
                "itself and example_inputs=x to find them with."
            )
        try:
            return neurons.groups(self.network, example_inputs, wanted, tuple(self.penalised))
        except ValueError as error:
            raise ConfigError(f"groups is {wanted!r}: {error}") from error

    def warn(self) -> None:
        """Say which matrices are not penalised though nobody said so."""
        if not self.penalised:
            warnings.warn(
                "nothing is penalised: none of these parameters is a weight with two axes or more; "
                "name some in penalise=.",
                stacklevel=4,
            )
        of = {n: why for n, why in self.reasons.items() if why.endswith(UNKNOWN)}
        if of:
            warnings.warn(
                "not penalised: " + "; ".join(f"{name} ({why})" for name, why in of.items()) + ".",
                stacklevel=4,
            )


def listed(given: Iterable[Any]) -> list[Any]:
    """Return parameters or groups of them as lists: what yields them can be read only once."""
    groups = list(given)
    return [
        {**g, "params": [g["params"]] if isinstance(g["params"], Tensor) else list(g["params"])}
        if isinstance(g, dict)
        else g
        for g in groups
    ]


def named_of(trained: Sequence[Any], first: int = 0) -> dict[str, Tensor]:
    """Return parameters by their names, or by their numbers from `first` on where they have none.

    Raises
    ------
    ConfigError
        Something is no tensor.
    """
    flat = [p for g in trained for p in (g["params"] if isinstance(g, dict) else [g])]
    named: dict[str, Tensor] = dict(
        p if isinstance(p, tuple) else (str(i), p) for i, p in enumerate(flat, start=first)
    )
    for name, p in named.items():
        if not isinstance(p, Tensor):
            raise ConfigError(f"parameter {name} is {p!r}; give tensors, or pairs with their name.")
    return named


def by_themselves(
    penalised: Mapping[str, Tensor], sides: str | Sequence[str]
) -> tuple[neurons.Groups, ...]:
    """Return the groups of weights by themselves: a unit is a column, or a row, of each.

    Raises
    ------
    ConfigError
        A side is unknown, or their number is wrong.
    """
    names = list(penalised)
    each = [sides] * len(names) if isinstance(sides, str) else list(sides)
    if len(each) != len(names) or not set(each) <= set(neurons.SIDES):
        raise ConfigError(
            f"groups is {sides!r}: give one of {', '.join(neurons.SIDES)}, "
            f"or one for each of {len(names)} weights."
        )
    shapes = {name: p.shape for name, p in penalised.items()}
    return tuple(
        neurons.make_groups(names.index(slices[0].tensor), len(names), slices, shapes)
        for slices in alone(names, each, shapes)
    )


def whole_weights(penalised: Mapping[str, Tensor], penalty: Penalty) -> None:
    """Do nothing where every weight lies whole on this machine.

    Raises
    ------
    ConfigError
        One is sharded.
    """
    for name, p in penalised.items():
        if shard(p) is not p:
            raise ConfigError(
                f"{penalty.public_name} acts on groups of weights, and {name} is sharded over "
                "several processes: take an elementwise penalty such as tl1, or DDP."
            )
