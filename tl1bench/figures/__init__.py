"""Figures, one file each: `draw(table, evidence) -> Figure` and `caption(table, evidence) -> str`.

A file dropped into this folder is drawn by the next report; what figures are made with has an
underscore. `draw` says which columns of runs.csv it reads: "Reads `problem` and `method`."
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from tl1bench import plugins
from tl1bench.figures import _style
from tl1bench.files import atomic_path
from tl1bench.results.evidence import Evidence

# Nothing that differs between two runs of one version may get into a file.
_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)


def names() -> tuple[str, ...]:
    """Return the names of the figures in this folder, sorted."""
    return plugins.module_names("figures")


def load(name: str) -> ModuleType:
    """Return the module of figure `name`.

    Raises
    ------
    ConfigError
        There is no such file.
    """
    return plugins.load_module("figures", name, "figure")


@contextmanager
def style() -> Iterator[None]:
    """Draw in this project's style meanwhile; matplotlib's own settings come back afterwards."""
    with mpl.rc_context(_style.RC):
        yield


def draw(name: str, table: pd.DataFrame, evidence: Evidence) -> Figure:
    """Draw a figure in this project's style.

    Parameters
    ----------
    name
        The figure's.
    table
        Rows of runs.csv.
    evidence
        The profile.

    Returns
    -------
    Figure
        Not saved yet.
    """
    with style():
        drawn: Figure = load(name).draw(table, evidence)
    return drawn


def caption(name: str, table: pd.DataFrame, evidence: Evidence) -> str:
    """Return a figure's caption, made from the same data.

    Parameters
    ----------
    name, table, evidence
        Those of `draw`.

    Returns
    -------
    str
        Whole sentences.
    """
    return str(load(name).caption(table, evidence))


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Write a figure in several formats, byte for byte reproducibly.

    Parameters
    ----------
    figure
        What is drawn.
    stem
        The files' path without its ending.
    formats
        Some of `FORMATS`; PNG has 200 dpi.

    Returns
    -------
    tuple of Path
        The files, in the order of `formats`.
    """
    paths = tuple(stem.parent / f"{stem.name}.{extension}" for extension in formats)
    with style():
        for path, extension in zip(paths, formats, strict=True):
            with atomic_path(path) as draft:
                figure.savefig(draft, format=extension, dpi=200, metadata=_METADATA[extension])
    return paths


def save_all(
    table: pd.DataFrame, evidence: Evidence, folder: Path, formats: Sequence[str] = FORMATS
) -> dict[str, str]:
    """Draw and save every figure of this folder.

    Parameters
    ----------
    table, evidence
        Those of `draw`.
    folder
        Where the files go.
    formats
        Some of `FORMATS`.

    Returns
    -------
    dict
        Captions by name.
    """
    for name in names():
        save(draw(name, table, evidence), folder / name, formats)
    return {name: caption(name, table, evidence) for name in names()}
