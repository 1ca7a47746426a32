"""Methods of sparsification, one file each: all walk the same path from the same dense start.

A module in this folder whose name has no leading underscore holds one final `Method` class;
nothing else is to be edited. Penalised training is one of them.
"""

from __future__ import annotations

from typing import Any

from tl1bench import plugins
from tl1bench.errors import ConfigError
from tl1bench.methods._front import path
from tl1bench.training.method import Method

__all__ = ["Method", "load", "names", "path"]


def names() -> tuple[str, ...]:
    """Return the name of every method file."""
    return plugins.module_names("methods")


def load(name: str, **options: Any) -> Method:
    """Return method `name` with its options.

    Raises
    ------
    ConfigError
        There is no such method, or it does not take these options.
    """
    kind = plugins.load_class("methods", name, "method", Method)  # type: ignore[type-abstract]
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(f"method {name!r} does not take these options: {error}.") from error
