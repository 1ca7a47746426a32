"""Which parameters `penalise=` chooses."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

from tl1bench.errors import ConfigError

Penalise: TypeAlias = str | Sequence[str] | Callable[[str, Tensor], bool]

UNNAMED = "penalise= leaves it out"


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
        A name is unknown.
    """
    if penalise is None:
        return list(weights)
    if not isinstance(penalise, str | Sequence):
        return [name for name, p in named.items() if penalise(name, p)]
    patterns = [penalise] if isinstance(penalise, str) else penalise
    found: set[str] = set()
    for pattern in patterns:
        here = fnmatch.filter(named, pattern)
        if not here and not fnmatch.filter(known, pattern):
            near = difflib.get_close_matches(pattern, named, n=1)
            hint = f"; is it {near[0]}?" if near else "."
            raise ConfigError(f"penalise= names {pattern}, which is no parameter here{hint}")
        found.update(here)
    return [name for name in named if name in found]


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
