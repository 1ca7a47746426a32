"""What a network is called with: arguments of any structure, and whether their batch is free."""

from __future__ import annotations

import inspect
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from tl1bench.errors import CompactionError

_CONTAINERS = (dict, list, tuple)
_LEAVES = (Tensor, bool, int, float, str, type(None))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Example arguments of a network: `model(*args, **kwargs)`.

    Tensors may lie in lists, tuples and dicts; anything else is a constant. Those whose first size
    is that of the first one hold a sample each place along it: `free` says whether that size is.
    `sizes` has for each tensor the other free sizes, as torch.export takes them, in the structure
    of (args, kwargs); None where there are none.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    free: bool = True
    sizes: Any = None

    @classmethod
    def of(cls, args: Any, kwargs: Mapping[str, Any] | None = None, sizes: Any = None) -> Inputs:
        """Return example inputs as a user gives them.

        Parameters
        ----------
        args
            One tensor or dict, or a sequence of positional arguments.
        kwargs
            Arguments by name.
        sizes
            See the class.

        Returns
        -------
        Inputs
            With a free batch.

        Raises
        ------
        CompactionError
            There is no tensor with a batch of at least 2 samples, or something that is neither
            tensor nor constant, or in a container of another kind.
        """
        alone = isinstance(args, Tensor | Mapping)
        found = cls((args,) if alone else tuple(args), dict(kwargs or {}), sizes=sizes)
        for value in (*found.args, *found.kwargs.values()):
            _check(value)
        tensors = found.tensors
        if not tensors or tensors[0].dim() == 0:
            raise CompactionError(
                "The example inputs must be a tuple of tensors with a batch, or hold them by name."
            )
        if found.size < 2:
            raise CompactionError("The example inputs need a batch of at least 2 samples.")
        return found

    def sized(self, model: nn.Module, dynamic_shapes: Any) -> Inputs:
        """Return the same with free sizes as torch.export takes them for a network.

        Parameters
        ----------
        model
            The network.
        dynamic_shapes
            By names of its arguments, or in their order; None for a free batch alone.

        Returns
        -------
        Inputs
            With the sizes in the structure of the inputs.

        Raises
        ------
        CompactionError
            They do not fit the inputs.
        """
        if dynamic_shapes is None:
            return self
        signature = inspect.signature(model.forward)
        try:
            values = dict(signature.bind(*self.args, **self.kwargs).arguments)
        except TypeError as error:
            raise CompactionError(f"The example inputs do not fit the network: {error}.") from error
        given = dynamic_shapes
        if not isinstance(given, Mapping):
            given = dict(zip(values, given, strict=False))
        for name in set(given) - set(values):
            raise CompactionError(
                f"dynamic_shapes has {name!r}, but the inputs are {', '.join(values)}."
            )
        own = {name: _aligned(value, given.get(name), name) for name, value in values.items()}
        bound = inspect.BoundArguments(signature, OrderedDict(own))
        named = dict(own)
        for parameter in signature.parameters.values():
            if parameter.kind == inspect.Parameter.VAR_KEYWORD:
                named.update(own.get(parameter.name, {}))
        kwargs = {name: named[name] for name in self.kwargs}
        return replace(self, sizes=(bound.args[: len(self.args)], kwargs))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors in order."""
        return tuple(t for _, t in self.named)

    @property
    def named(self) -> tuple[tuple[str, Tensor], ...]:
        """All tensors in order, each with the keys that lead to it, see `joined`."""
        positional = pytree.tree_flatten_with_path(self.args)[0]
        by_name = pytree.tree_flatten_with_path(dict(self.kwargs))[0]
        leaves = [*((path[1:], x) for path, x in positional), *by_name]
        return tuple((joined(path), x) for path, x in leaves if isinstance(x, Tensor))

    @property
    def size(self) -> int:
        """Samples in the batch."""
        return int(self.tensors[0].shape[0])

    def fixed(self) -> Inputs:
        """Return the same with a batch that is not free."""
        return replace(self, free=False)

    def repeated(self, count: int) -> Inputs:
        """Return the same with the samples repeated until there are `count`."""
        place = torch.arange(count) % self.size

        def longer(x: Tensor) -> Tensor:
            return x[place.to(x.device)] if self._batched(x) else x

        args, kwargs = pytree.tree_map_only(Tensor, longer, (self.args, dict(self.kwargs)))
        return replace(self, args=args, kwargs=kwargs)

    def call(self, model: nn.Module) -> Any:
        """Return what the network makes of them."""
        return model(*self.args, **self.kwargs)

    def shapes(self, model: nn.Module) -> dict[str, Any]:
        """Return what torch.export is told of sizes: which are free, by names of arguments."""
        leaves, structure = pytree.tree_flatten((self.args, dict(self.kwargs)))
        given = self._given(leaves)
        first = next(
            own for leaf, own in zip(leaves, given, strict=True) if leaf is self.tensors[0]
        )
        batch = first.get(0, torch.export.Dim("batch"))
        found: list[Any] = []
        for leaf, own in zip(leaves, given, strict=True):
            if not isinstance(leaf, Tensor):
                found.append(None)
            elif self.free:
                found.append({**({0: batch} if self._batched(leaf) else {}), **own})
            else:
                found.append({dim: size for dim, size in own.items() if dim})
        args, kwargs = pytree.tree_unflatten(found, structure)
        return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments)

    def _given(self, leaves: Sequence[Any]) -> list[dict[int, Any]]:
        """Return the free sizes of each input by dimension."""
        if self.sizes is None:
            return [{} for _ in leaves]
        return [s.by_dim for s in pytree.tree_leaves(self.sizes)]

    def _batched(self, tensor: Tensor) -> bool:
        return tensor.dim() > 0 and tensor.shape[0] == self.size


@dataclass(frozen=True)
class _Sizes:
    """Free sizes of one tensor: what torch.export takes, by dimension."""

    by_dim: Mapping[int, Any] = field(default_factory=dict)


def _aligned(value: Any, given: Any, name: str) -> Any:
    """Return `_Sizes` in the place of every tensor and constant of an argument."""
    if isinstance(value, dict):
        parts = given or {}
        return {key: _aligned(part, parts.get(key), f"{name}[{key!r}]")
                for key, part in value.items()}  # fmt: skip
    if isinstance(value, list | tuple):
        parts = given or [None] * len(value)
        return type(value)(_aligned(part, parts[place], f"{name}[{place}]")
                           for place, part in enumerate(value))  # fmt: skip
    if given is None or not isinstance(value, Tensor):
        return _Sizes()
    sizes = dict(given if isinstance(given, Mapping) else enumerate(given))
    if any(not isinstance(dim, int) or not 0 <= dim < value.dim() for dim in sizes):
        raise CompactionError(
            f"dynamic_shapes names dimensions {sorted(map(str, sizes))} of {name}, which has "
            f"{value.dim()}: count from 0."
        )
    return _Sizes(sizes)


def joined(path: Sequence[Any]) -> str:
    """Return the keys on the way to a tensor, with places in lists among them.

    Parameters
    ----------
    path
        Steps of torch's pytree.

    Returns
    -------
    str
        `boxes_0` for the first in a list under `boxes`; empty where no key is on the way.
    """
    keys = [getattr(step, "key", getattr(step, "name", None)) for step in path]
    if all(key is None for key in keys):
        return ""
    places = [str(getattr(step, "idx", key)) for step, key in zip(path, keys, strict=True)]
    return "_".join(re.sub(r"\W", "_", place) for place in places)


def _check(value: Any) -> None:
    """Refuse what is neither a tensor, nor a constant, nor a plain container of them."""
    if isinstance(value, _LEAVES):
        return
    if not isinstance(value, _CONTAINERS):
        raise CompactionError(
            f"The example inputs hold a {type(value).__name__}: only tensors, numbers, texts and "
            "None, in lists, tuples and dicts, can be followed."
        )
    for part in value.values() if isinstance(value, dict) else value:
        _check(part)
