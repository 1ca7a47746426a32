"""What was found, as tables: one row a run, the choice on validation, and its statistics.

This face stays light, since every stage reads it: `points`, `comparison`, `statistics` and `fronts`
need scipy and are imported by name.
"""

from tl1bench.results.layout import DENSE, FLOOR, HERO, MASKED, Run, run_name
from tl1bench.results.measured import headline_timings, read_measurement
from tl1bench.results.selection import first_seed, first_selected, select
from tl1bench.results.table import (
    COLUMNS,
    DTYPES,
    OPTIONAL,
    ResultsError,
    collect,
    dvc_metrics,
    read,
    write,
)

__all__ = [
    "COLUMNS",
    "DENSE",
    "DTYPES",
    "FLOOR",
    "HERO",
    "MASKED",
    "OPTIONAL",
    "ResultsError",
    "Run",
    "collect",
    "dvc_metrics",
    "first_seed",
    "first_selected",
    "headline_timings",
    "read",
    "read_measurement",
    "run_name",
    "select",
    "write",
]
