"""Plugins are the modules of a folder: listing it is the registry, the file's name is the name."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from tl1bench.errors import ConfigError

_PACKAGE = Path(__file__).parent
Kind = TypeVar("Kind")


def module_names(folder: str) -> tuple[str, ...]:
    """Return the names of the plugin modules in `tl1bench/<folder>`, sorted, importing none."""
    found = pkgutil.iter_modules([str(_PACKAGE / folder)])
    return tuple(sorted(m.name for m in found if not m.name.startswith("_")))


def source_file(folder: str, name: str) -> Path:
    """Return the file of plugin `name` in `tl1bench/<folder>`."""
    return _PACKAGE / folder / f"{name}.py"


def load_module(folder: str, name: str, what: str) -> ModuleType:
    """Import plugin module `name` of `tl1bench/<folder>`.

    Parameters
    ----------
    folder
        A folder of plugins, such as "penalties" or "report/tables".
    name
        A file of it, without ending.
    what
        What its files are, for the message: "penalty".

    Returns
    -------
    ModuleType
        The module.

    Raises
    ------
    ConfigError
        There is no such file.
    """
    known = module_names(folder)
    if name not in known:
        raise ConfigError(f"there is no {what} {name!r}; choose one of {', '.join(known)}.")
    return importlib.import_module(f"tl1bench.{folder.replace('/', '.')}.{name}")


def load_class(folder: str, name: str, what: str, base: type[Kind]) -> type[Kind]:
    """Return the one class derived from `base` that plugin module `name` defines.

    Parameters
    ----------
    folder, name, what
        As for `load_module`.
    base
        What the files of the folder derive from.

    Returns
    -------
    type
        The class.

    Raises
    ------
    ConfigError
        There is no such file, or it does not define one such class.
    """
    module = load_module(folder, name, what)
    found = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type)
        and issubclass(thing, base)
        and thing.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{source_file(folder, name)} defines {len(found)} classes derived from "
            f"{base.__name__}; a {what} is one."
        )
    return found[0]
