"""What a user may say about a file of his own where a guess is not wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reading:
    """How a table's text is read; None is guessed from the file, and said.

    `missing`: further texts that stand for no value, beside an empty field, `?`, `NA` and the like.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """How a table's columns become inputs.

    `numbers`: standardise or none; `missing`: what fills gaps, median or mean; `rare`: categories
    seen in fewer training rows than this stand together.
    """

    numbers: str = "standardise"
    missing: str = "median"
    rare: int = 10


@dataclass(frozen=True)
class Options:
    """What params.yaml says about one data set; `preprocess` None leaves all values alone.

    `task`: what is learned of the label, classes or numbers. `columns`: what a column is, where the
    guess is wrong: number, boolean, category or drop. `size`: height and width that images are
    resized to.
    """

    task: str = "classification"
    label: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    preprocess: Choices | None = field(default_factory=Choices)
    size: int | None = None
