"""Figures, one file each: `draw(table, context) -> Figure` and `caption(table, context) -> str`.

A file dropped into this folder is drawn by the next report; the `HELPERS` are what figures are
made with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from tl1bench import plugins
from tl1bench.errors import ConfigError
from tl1bench.figures import style
from tl1bench.figures.context import Context
from tl1bench.files import atomic_path

HELPERS = frozenset({"context", "panels", "published", "style"})
# Nothing that differs between two runs of one version may get into a file.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)


def names() -> tuple[str, ...]:
    """Return the names of the figures in this folder, sorted."""
    return tuple(n for n in plugins.module_names("figures") if n not in HELPERS)


def load(name: str) -> ModuleType:
    """Return the module of figure `name`.

    Raises
    ------
    ConfigError
        There is no such file.
    """
    if name not in names():
        raise ConfigError(f"There is no figure {name!r}: choose one of {', '.join(names())}.")
    return plugins.load_module("figures", name)


def draw(name: str, table: pd.DataFrame, context: Context) -> Figure:
    """Draw figure `name` in this project's style; matplotlib's own settings stay untouched."""
    return styled(load(name).draw, table, context)


def styled(draw: Callable[..., Figure], *arguments: Any) -> Figure:
    """Call `draw` in this project's style."""
    with mpl.rc_context(style.RC):
        return draw(*arguments)


def caption(name: str, table: pd.DataFrame, context: Context) -> str:
    """Return the caption of figure `name`, made from the same data."""
    return str(load(name).caption(table, context))


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Write `figure` to `stem`.png (200 dpi), .svg and .pdf, byte for byte reproducibly."""
    paths = tuple(stem.parent / f"{stem.name}.{extension}" for extension in formats)
    with mpl.rc_context(style.RC):
        for path, extension in zip(paths, formats, strict=True):
            with atomic_path(path) as draft:
                figure.savefig(draft, format=extension, dpi=200, metadata=_METADATA[extension])
    return paths


def save_all(
    table: pd.DataFrame, context: Context, folder: Path, formats: Sequence[str] = FORMATS
) -> dict[str, str]:
    """Draw and save every figure into `folder`; return the captions by name."""
    for name in names():
        save(draw(name, table, context), folder / name, formats)
    return {name: caption(name, table, context) for name in names()}
