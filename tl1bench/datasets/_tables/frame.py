"""A table as it stands in its file, before anything is made of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Frame:
    """A table of named columns, what was guessed in reading it, and where its first row stands.

    `first_line` is 0 for files that have no lines.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    first_line: int = 0

    def place(self, row: int) -> str:
        """Return what row `row` (from 0) is called in messages."""
        return f"line {row + self.first_line}" if self.first_line else f"row {row + 1}"


def unique(names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return names that differ, and what is said of those that were changed."""
    taken: set[str] = set()
    kept, notes = [], []
    for place, given in enumerate(names, 1):
        stem = given or f"column {place}"
        name, count = stem, 0
        while name in taken:
            count += 1
            name = f"{stem}.{count}"
        if name != given and given:
            notes.append(f"there are several columns '{given}': number {place} is called '{name}'")
        taken.add(name)
        kept.append(name)
    return kept, tuple(notes)
