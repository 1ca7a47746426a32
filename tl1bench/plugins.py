"""Plugins are the modules of a folder: listing it is the registry, the file's name is the name."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

_PACKAGE = Path(__file__).parent


def module_names(folder: str) -> tuple[str, ...]:
    """Return the names of the plugin modules in `tl1bench/<folder>`, sorted, importing none."""
    found = pkgutil.iter_modules([str(_PACKAGE / folder)])
    return tuple(sorted(m.name for m in found if not m.name.startswith("_")))


def source_file(folder: str, name: str) -> Path:
    """Return the file of plugin `name` in `tl1bench/<folder>`."""
    return _PACKAGE / folder / f"{name}.py"


def load_module(folder: str, name: str) -> ModuleType:
    """Import plugin module `name` of `tl1bench/<folder>`."""
    return importlib.import_module(f"tl1bench.{folder.replace('/', '.')}.{name}")
