"""A data set that a profile reads, and what its file needs to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tl1bench.config.values import Frozen


class Reading(Frozen):
    """How a table's text is read; what is not given is guessed from the file, and said."""

    separator: str | None = Field(None, min_length=1, max_length=1)
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] = Field((), description="texts that mean missing, beside ? and NA")


class Preprocess(Frozen):
    """How a table's columns become inputs, fitted on the training rows."""

    numbers: Literal["standardise", "none"] = "standardise"
    missing: Literal["median", "mean"] = "median"
    rare: int = Field(10, ge=1, description="categories of fewer training rows stand together")


class Data(Frozen):
    """A data set that the profile reads: one of ours, or a user's own file or folder of images.

    `task`: what is learned, classes or numbers; `columns`: what a column is, where the guess is
    wrong; `size`: side that images are resized to.
    """

    path: Path | None = None
    task: Literal["classification", "regression"] = "classification"
    label: str | None = None
    columns: dict[str, Literal["number", "boolean", "category", "drop"]] = Field(
        default_factory=dict
    )
    reading: Reading = Reading()
    preprocess: Preprocess | Literal["none"] = Preprocess()
    size: int | None = Field(None, ge=1, le=1024)
