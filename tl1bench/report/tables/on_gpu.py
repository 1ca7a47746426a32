"""Latency on a GPU, batch by batch, of every method's selected network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE, FLOOR, first_seed, headline_timings
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import NOTHING, between, count, known, number

_TIMES = {"p50_us": "p50 [µs]", "floor_us": "floor [µs]", "cpu_p50_us": "p50 on the CPU [µs]"}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return a row a problem, network and batch; no table where nothing was measured on a GPU."""
    records = {p: evidence.measurement(p).get("cuda") for p in evidence.problems}
    measured = {problem: record for problem, record in records.items() if record}
    chosen = table[table["selected"]]
    numbers = [n for p, r in measured.items() for n in _of_problem(chosen, p, r, evidence)]
    if not numbers:
        return ()
    found = Table(
        name="on-gpu",
        title="On a GPU: latency, batch by batch",
        note=(
            "Median of onnxruntime's CUDA provider, first seed, with that of the CPU at the same "
            "batch where it was measured. Inputs and outputs lie on the GPU: the time is that from "
            "a call until its results are complete there, its launch included and no copy. Ratios "
            "are paired, with 95 % intervals over processes. The floor is an Identity graph on the "
            f"same inputs: launching alone. {' '.join(map(_where, measured, measured.values()))}"
        ),
        header=("problem", "network", "batch", *_TIMES.values(), "× dense", "examples/s"),
        rows=tuple(_row(n, evidence) for n in numbers),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )
    return (found,)


def _of_problem(
    chosen: pd.DataFrame, problem: str, record: Mapping[str, Any], evidence: Evidence
) -> Iterator[dict[str, Any]]:
    of_problem = chosen[chosen["problem"] == problem]
    batches = sorted({row["batch"] for row in record["rows"]})
    for method in evidence.methods:
        runs = of_problem[of_problem["method"] == method]
        if runs.empty:
            continue
        model = DENSE if method == DENSE else first_seed(runs).model
        for batch in batches:
            timings = headline_timings(record, batch)
            if model in timings:
                on_cpu = evidence.timings(problem, batch).get(model, {})
                yield _numbers(problem, method, batch, timings, model, on_cpu)


def _numbers(
    problem: str,
    method: str,
    batch: int,
    timings: Mapping[str, Mapping[str, Any]],
    model: str,
    on_cpu: Mapping[str, Any],
) -> dict[str, Any]:
    own = timings[model]
    return {
        "problem": problem,
        "method": method,
        "batch": batch,
        "p50_us": _get(own, "p50_us"),
        "floor_us": _get(timings.get(FLOOR, {}), "p50_us"),
        "cpu_p50_us": _get(on_cpu, "p50_us"),
        **{name: _get(own, name) for name in ("ratio_p50", "ratio_low", "ratio_high")},
        "examples_per_s": 1e6 * batch / own["p50_us"],
    }


def _row(n: Mapping[str, Any], evidence: Evidence) -> tuple[str, ...]:
    ratio = NOTHING
    if n["method"] != DENSE:
        ratio = between(n["ratio_p50"], n["ratio_low"], n["ratio_high"], "{:.3f}".format)
    times = (known(n[name], number) for name in _TIMES)
    name = evidence.name(n["problem"], n["method"])
    return (n["problem"], name, count(n["batch"]), *times, ratio, count(n["examples_per_s"]))


def _where(problem: str, record: Mapping[str, Any]) -> str:
    """Return on what a problem was measured, and whether that can be trusted."""
    machine = record["machine"]
    gpus = ", ".join(dict.fromkeys(machine["gpus"])) or "an unnamed GPU"
    said = f"{problem}: {gpus}, onnxruntime {machine['versions']['onnxruntime']}."
    if machine.get("trusted", True):
        return said
    return f"{said} NOT TO BE TRUSTED: {machine.get('reason') or 'no reason recorded'}."


def _get(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)
