"""Tables of the report, one file each: `make(table, evidence) -> tuple[Table, ...]`.

A file dropped into this folder is on the next page; most make one table, some one a problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tl1bench import plugins
from tl1bench.files import write_text
from tl1bench.report.typeset import Table
from tl1bench.results.evidence import Evidence

_FOLDER = "report/tables"
# What one comes for is first, the longest table last; the rest follows by name.
_FIRST = (
    *("selected", "objectives", "between_fronts", "as_logged"),
    *("what_is_left", "memory", "fronts"),
)
_LAST = "operating_points"


def names() -> tuple[str, ...]:
    """Return the names of the files in this folder, in the order of the page."""
    rest = (n for n in plugins.module_names(_FOLDER) if n not in {*_FIRST, _LAST})
    return (*_FIRST, *rest, _LAST)


def every(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return all tables in the order of the page."""
    made = (plugins.load_module(_FOLDER, name, "table").make(table, evidence) for name in names())
    return tuple(one for of_file in made for one in of_file)


def write_all(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as `<name>.csv`, `.md` and `.tex`."""
    for table in tables:
        write_text(folder / f"{table.name}.csv", table.csv())
        write_text(folder / f"{table.name}.md", table.markdown())
        write_text(folder / f"{table.name}.tex", table.latex())
