"""Files → one tidy table, one row a run: what the report is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tl1bench.errors import Tl1benchError
from tl1bench.files import read_json, write_text
from tl1bench.results import layout
from tl1bench.results.layout import DENSE, Run
from tl1bench.results.measured import headline_timings, read_measurement
from tl1bench.results.selection import Objective, select

DTYPES: Mapping[str, str] = {
    "problem": "str",
    "method": "str",
    "step": "int64",
    "lam": "float64",
    "seed": "int64",
    "profile": "str",
    "val_error_pct": "float64",
    "test_error_pct": "float64",
    "test_rmse": "float64",
    "test_r2": "float64",
    "guess_error_pct": "float64",
    "guess_p": "float64",
    "nonzero_weights": "int64",
    "weights_dense": "int64",
    "weights_compact": "int64",
    "macs_dense": "int64",
    "macs_nonzero": "Int64",
    "macs_compact": "int64",
    "architecture": "str",
    "onnx_bytes_dense": "Int64",
    "onnx_bytes_compact": "Int64",
    "latency_ratio_p50": "float64",
    "latency_dense_us_p50": "float64",
    "latency_compact_us_p50": "float64",
    "uss_dense_mib": "float64",
    "uss_compact_mib": "float64",
    "added_load_dense_mib": "float64",
    "added_load_compact_mib": "float64",
    "added_peak_dense_mib": "float64",
    "added_peak_compact_mib": "float64",
    "train_seconds": "float64",
    "selected": "bool",
}
COLUMNS = tuple(DTYPES)
_VALUES: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "float64": float,
    "int64": int,
    "Int64": int,
    "bool": {"True": True, "False": False}.__getitem__,
}
# Only the operating points that were exported are measured, only numbers have an RMSE in their own
# unit, and the theoretical count, what is added to the memory's floor and the guess are younger
# than some results: these columns may be empty or missing.
_MAY_BE_EMPTY = (
    *("onnx_", "latency_", "uss_", "added_"),
    *("macs_nonzero", "test_rmse", "test_r2", "guess_"),
)
OPTIONAL = tuple(c for c in COLUMNS if c.startswith(_MAY_BE_EMPTY))


class ResultsError(Tl1benchError):
    """A result file is missing or holds what cannot be."""


def collect(
    build: Path,
    reports: Path,
    profile: str,
    problems: Sequence[str],
    methods: Sequence[str],
    tolerance_pct: float = 0.5,
    by: Objective = "weights",
) -> pd.DataFrame:
    """Read every run of `problems` × `methods` into the one results table.

    Parameters
    ----------
    build, reports
        The profile's own folders, `build/<profile>` and `reports/<profile>`.
    profile
        Its name, a column of the table.
    problems, methods
        What params.yaml lists; folders of anything else are not looked at.
    tolerance_pct
        Passed on to `select`, in percentage points.
    by
        Passed on to `select`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; rows in the order of `problems`, `methods`, step, seed. `lam` is λ, or
        for a method without one the share of the weights that it kept. Errors are those of the
        problem's task; `test_rmse` and `test_r2` are of numbers alone, `guess_error_pct` is what
        guessing costs on the validation examples and `guess_p` whether the run does better, as
        `guessing` has it. Latency and memory are batch
        1, one thread; `uss_` is the unique set size of the whole process after running, `added_`
        what of that the network adds to a process with onnxruntime alone, after loading and at its
        peak.

    Raises
    ------
    ResultsError
        A cell was not trained, a run was not compacted, or a number is not finite.
    """
    rows: list[dict[str, Any]] = []
    for problem in problems:
        timings = headline_timings(read_measurement(reports, problem))
        for method in methods:
            if not (build / layout.TRAIN / problem / method).is_dir():
                raise ResultsError(
                    f"There is no run of {method} on {problem} under {build / layout.TRAIN}: "
                    "train it with `tl1bench train`."
                )
            # An empty folder is a cell that was left out.
            found = sorted(
                _trained(build, problem, method), key=lambda run: (run["step"], run["seed"])
            )
            rows += [{**_row(build, run, timings), "profile": profile} for run in found]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(selected=False).astype(dict(DTYPES))
    _check_finite(table)
    return table.assign(selected=select(table, tolerance_pct, by))


def _trained(build: Path, problem: str, method: str) -> Iterator[dict[str, Any]]:
    folder = build / layout.TRAIN / problem / method
    for path in sorted(folder.glob(f"{layout.ANY_RUN}/{layout.RUN}")):
        run = read_json(path)
        if (run["problem"], run["method"]) != (problem, method):
            raise ResultsError(f"{path} speaks of {run['method']} on {run['problem']}: remove it.")
        yield run


def _row(build: Path, trained: Mapping[str, Any], timings: Mapping[str, Any]) -> dict[str, Any]:
    run = Run(*(trained[name] for name in Run._fields))
    compact = build / layout.COMPACT / run.folder / layout.COMPACTION
    if not compact.is_file():
        raise ResultsError(f"{compact} is missing: run `tl1bench compact` on this profile first.")
    known = {**trained, **read_json(compact)}
    exported = build / layout.EXPORT / run.folder / layout.EXPORTED
    if exported.is_file():
        of_dense = build / layout.EXPORT / run.problem / DENSE / layout.EXPORTED
        known["onnx_bytes_compact"] = read_json(exported)["onnx_bytes"]
        known["onnx_bytes_dense"] = read_json(of_dense)["onnx_bytes"]
    row = {column: known.get(column) for column in COLUMNS}
    dense, own = timings.get(DENSE), timings.get(run.model)
    if dense and own:
        row |= {
            "latency_ratio_p50": own["ratio_p50"],
            "latency_dense_us_p50": dense["p50_us"],
            "latency_compact_us_p50": own["p50_us"],
            "uss_dense_mib": dense["uss_run_mib"],
            "uss_compact_mib": own["uss_run_mib"],
            "added_load_dense_mib": dense.get("added_load_mib"),
            "added_load_compact_mib": own.get("added_load_mib"),
            "added_peak_dense_mib": dense.get("added_peak_mib"),
            "added_peak_compact_mib": own.get("added_peak_mib"),
        }
    return row


def _check_finite(table: pd.DataFrame) -> None:
    numbers = table.select_dtypes("number").astype("float64")
    required = numbers.columns.difference(list(OPTIONAL))
    wrong = np.isinf(numbers) | (numbers.isna() & numbers.columns.isin(required))
    for index, column in np.argwhere(np.asarray(wrong)):
        where = table.iloc[index]
        raise ResultsError(
            f"{numbers.columns[column]} of {where.method} on {where.problem} "
            f"({layout.run_name(where.step, where.seed)}) is not a finite number: train that run "
            "again."
        )


def write(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as runs.csv; floats are written so that `read` gives the same bits."""
    write_text(path, table.loc[:, list(COLUMNS)].to_csv(index=False, lineterminator="\n"))


def read(path: Path) -> pd.DataFrame:
    """Read runs.csv with the types of `DTYPES`.

    Raises
    ------
    ResultsError
        The file is missing or lacks a column that is not optional.
    """
    try:
        texts = pd.read_csv(path, dtype="str", keep_default_na=False)
        missing = [column for column in COLUMNS if column not in {*texts, *OPTIONAL}]
        if missing:
            raise ResultsError(f"{path} lacks the column {missing[0]}: report it anew.")
        texts = texts.reindex(columns=list(COLUMNS), fill_value="")
        return pd.DataFrame({name: _parse(texts[name], DTYPES[name]) for name in COLUMNS})
    except OSError as error:
        raise ResultsError(f"Cannot read {path}: {error.strerror}; run the report.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{path} is not a results table ({error}): report it anew.") from error


def _parse(texts: pd.Series[str], dtype: str) -> pd.Series[Any]:
    # Python's float() rounds right; read_csv's own default did not in every version of pandas.
    values: list[Any] = [_VALUES[dtype](text) if text or dtype == "str" else None for text in texts]
    return pd.Series(values, dtype=dtype)
