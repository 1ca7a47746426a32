"""Penalties: one file each, value and proximal operator in one frozen object.

A module in this folder whose name has no leading underscore is a penalty and holds exactly one
final `Penalty` class, whose fields are the hyper-parameters; nothing else is to be edited.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tl1bench import plugins
from tl1bench.errors import ConfigError
from tl1bench.penalties._base import Composed, Elementwise, Penalty, Radial

__all__ = ["Composed", "Elementwise", "Penalty", "Radial", "kind", "load", "names"]


def names() -> tuple[str, ...]:
    """Return the name of every penalty file."""
    return plugins.module_names("penalties")


def kind(name: str) -> type[Penalty]:
    """Return the class of penalty `name`.

    Raises
    ------
    ConfigError
        There is no such penalty.
    """
    return plugins.load_class("penalties", name, "penalty", Penalty)  # type: ignore[type-abstract]


def load(name: str, **hyper: Any) -> Penalty:
    """Return penalty `name` with the given hyper-parameters; `lam` is 1 unless given.

    Raises
    ------
    ConfigError
        The name or a hyper-parameter is unknown, or a value is outside its range.
    """
    found = kind(name)
    known = [field.name for field in dataclasses.fields(found)]
    for key in hyper:
        if key not in known:
            raise ConfigError(
                f"penalty {name!r} has no hyper-parameter {key!r}; it has {', '.join(known)}."
            )
    return found(**hyper)
