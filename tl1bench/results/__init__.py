"""What was found, as tables: one row a run, the choice on validation, and its statistics."""

from tl1bench.results.table import (
    COLUMNS,
    DENSE,
    DTYPES,
    HERO,
    MASKED,
    OPTIONAL,
    ResultsError,
    collect,
    headline_timings,
    metrics,
    read,
    read_measurement,
    run_name,
    select,
    write,
)

__all__ = [
    "COLUMNS",
    "DENSE",
    "DTYPES",
    "HERO",
    "MASKED",
    "OPTIONAL",
    "ResultsError",
    "collect",
    "headline_timings",
    "metrics",
    "read",
    "read_measurement",
    "run_name",
    "select",
    "write",
]
