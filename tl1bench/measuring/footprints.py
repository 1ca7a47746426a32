"""What a model adds to the memory of a process that has onnxruntime in it: to the floor.

A process with onnxruntime and an Identity graph takes some 23 MiB by itself, of which no network
can save anything. What a process has grown by since it was empty, less what the floor's has, is the
model's own: its weights, what loading leaves behind, its activations. At the peak it may be less
than after loading: running takes memory in the floor too, and there loading left none behind.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tl1bench.measuring.summaries import KEY
from tl1bench.results import FLOOR

WHERE = [*KEY, "arena"]
WHOLE = ("uss_empty_mib", "uss_load_mib", "uss_run_mib", "hwm_mib")
# One row a process: its memory when empty, after loading, after running, at its peaks.
PROCESSES = (*WHERE, "process", *WHOLE, "uss_peak_mib")
STATES = ("load", "peak")
# One row a model, setting and arena, with ranges over its processes.
MEMORY = (
    *WHERE,
    "processes",
    *WHOLE,
    *(
        f"added_{state}_{name}"
        for state in STATES
        for name in ("mib", "low_mib", "high_mib", "ratio", "ratio_low", "ratio_high")
    ),
)


def footprints(processes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Summarise memory over processes.

    Parameters
    ----------
    processes
        Columns `PROCESSES` in MiB; the model `results.FLOOR` is among them. May have no rows.
    baseline
        The model that ratios refer to.

    Returns
    -------
    DataFrame
        Columns `MEMORY`: medians of the whole process; median, least and most of what the model
        adds to the floor [MiB], after loading and at its peak, and of the ratio of that to the
        baseline's. Processes are paired by their number. The ratio is unknown where the baseline
        was not measured or adds nothing.
    """
    if processes.empty:
        return pd.DataFrame(columns=list(MEMORY))
    found = processes
    for state in STATES:
        grown = processes[f"uss_{state}_mib"] - processes["uss_empty_mib"]
        added = grown - _of(processes.assign(value=grown), FLOOR)
        reference = _of(processes.assign(value=added), baseline)
        ratio = added / reference.where(reference > 0)
        found = found.assign(**{f"added_{state}_mib": added, f"added_{state}_ratio": ratio})
    by_model = found.groupby(WHERE, sort=False)
    summary = by_model[list(WHOLE)].median()
    summary["processes"] = by_model.size()
    for state in STATES:
        for name, unit in ((f"added_{state}", "_mib"), (f"added_{state}_ratio", "")):
            values = by_model[f"{name}{unit}"]
            summary[f"{name}{unit}"] = values.median()
            summary[f"{name}_low{unit}"] = values.min()
            summary[f"{name}_high{unit}"] = values.max()
    return summary.reset_index()[list(MEMORY)]


def _of(processes: pd.DataFrame, model: str) -> pd.Series[float]:
    """Return for each process the `value` of the one of `model` that it is paired with."""
    key = [*WHERE[1:], "process"]
    values = processes[processes["model"] == model].set_index(key)["value"]
    pairs = pd.MultiIndex.from_frame(processes[key])
    return pd.Series(values.reindex(pairs).to_numpy(dtype=np.float64), index=processes.index)
