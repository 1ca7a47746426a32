"""Which parameters `penalise=` chooses."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from tl1bench.errors import ConfigError

Penalise: TypeAlias = str | Sequence[str] | Callable[[str, Tensor], bool]


def chosen(
    penalise: Penalise | None,
    named: Mapping[str, Tensor],
    weights: Sequence[str],
    known: Collection[str] = (),
) -> list[str]:
    """Return the names of the penalised parameters: `weights`, or what the user says.

    A name among `known`, of parameters that came before, need not be here.

    Raises
    ------
    ConfigError
        A name is unknown, or a parameter is complex.
    """
    if penalise is None:
        return _real(weights, named)
    if not isinstance(penalise, str | Sequence):
        return _real([name for name, p in named.items() if penalise(name, p)], named)
    patterns = [penalise] if isinstance(penalise, str) else penalise
    found: set[str] = set()
    for pattern in patterns:
        here = fnmatch.filter(named, pattern)
        if not here and not fnmatch.filter(known, pattern):
            near = difflib.get_close_matches(pattern, named, n=1)
            hint = f"; is it {near[0]}?" if near else "."
            raise ConfigError(f"penalise= names {pattern}, which is no parameter here{hint}")
        found.update(here)
    return _real([name for name in named if name in found], named)


def _real(names: Iterable[str], named: Mapping[str, Tensor]) -> list[str]:
    """Return the names of those that have elements, all of them real."""
    found = [name for name in names if named[name].numel()]
    for name in found:
        if named[name].is_complex():
            raise ConfigError(
                f"{name} is complex, and penalties are of real weights: leave it out."
            )
    return found


def why_not(p: Tensor) -> str:
    """Return why a parameter that could be penalised is not."""
    if not p.numel():
        return "no elements"
    return "a vector" if p.dim() < 2 else "penalise= leaves it out"


def portable(penalise: Penalise | None) -> Penalise | None:
    """Return `penalise` as pickle can carry it: of a function without a name only a complaint."""
    if penalise is None or isinstance(penalise, str | Sequence):
        return penalise
    return penalise if "<" not in getattr(penalise, "__qualname__", "<") else _lost


def _lost(name: str, _: Tensor) -> bool:
    raise ConfigError(
        f"penalise= was a function without a name, which a copy of an optimizer cannot keep: say "
        f'by "penalise" in the added group whether {name} is penalised.'
    )
