"""What was found, as tables: one row a run, the choice on validation, and its statistics.

This face stays light, since every stage reads it: `points`, `comparison`, `statistics` and `fronts`
need scipy and are imported by name.
"""

from tl1bench.results.for_dvc import dvc_metrics, fronts_csv
from tl1bench.results.layout import DENSE, FLOOR, HERO, MASKED, Run, run_name
from tl1bench.results.measured import headline_timings, read_measurement
from tl1bench.results.selection import (
    OBJECTIVES,
    Objective,
    candidates,
    first_seed,
    first_selected,
    select,
)
from tl1bench.results.table import (
    COLUMNS,
    DTYPES,
    OPTIONAL,
    ResultsError,
    collect,
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
    "OBJECTIVES",
    "OPTIONAL",
    "Objective",
    "ResultsError",
    "Run",
    "candidates",
    "collect",
    "dvc_metrics",
    "first_seed",
    "first_selected",
    "fronts_csv",
    "headline_timings",
    "read",
    "read_measurement",
    "run_name",
    "select",
    "write",
]
