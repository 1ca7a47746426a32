"""What every selected network adds to a process with onnxruntime, and the process itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pandas as pd

from tl1bench.report.typeset import Table
from tl1bench.results import DENSE, FLOOR, first_seed
from tl1bench.results.evidence import Evidence
from tl1bench.results.printed import NOTHING, between, display, known, number

_STATES = {"load": "loaded", "peak": "peak"}
_ADDED = tuple(
    f"added_{state}_{name}"
    for state, name in product(
        _STATES, ("mib", "low_mib", "high_mib", "ratio", "ratio_low", "ratio_high")
    )
)
_WHOLE = {
    "uss_load_mib": "process, loaded [MiB]",
    "uss_run_mib": "process, run [MiB]",
    "hwm_mib": "process, resident peak [MiB]",
}


def make(table: pd.DataFrame, evidence: Evidence) -> tuple[Table, ...]:
    """Return memory of every method's selected network, first seed; the floor is a row of it."""
    chosen = table[table["selected"]]
    numbers = [n for p in evidence.problems for n in _of_problem(chosen, p, evidence)]
    added = (
        text
        for state in _STATES.values()
        for text in (f"added, {state} [MiB]", f"added, {state} [% of dense]")
    )
    found = Table(
        name="memory",
        title="Memory: what the network adds, and the whole process",
        note=(
            "Of fresh processes without torch at batch 1 and one thread, first seed: median "
            "[least, most]. Added is what the process has grown by since it was empty, less what "
            f"one with an Identity graph has (the {FLOOR}: onnxruntime alone), after loading and "
            "at the peak of loading and running. That may be less: running takes memory in the "
            "floor too, where loading has left none behind to be used for it. A page is 0.004 MiB: "
            "smaller differences, and shares of a few pages, say nothing. The whole process: its "
            "unique set size, and its peak resident size with the libraries (VmHWM). Arena: that "
            "of onnxruntime's allocator."
        ),
        header=("problem", "network", "arena", *added, *_WHOLE.values()),
        rows=tuple(_row(n) for n in numbers),
        bold=frozenset(),
        frame=pd.DataFrame(numbers),
    )
    return (found,)


def _of_problem(chosen: pd.DataFrame, problem: str, evidence: Evidence) -> Iterator[dict[str, Any]]:
    of_problem = chosen[chosen["problem"] == problem]
    models = {FLOOR: FLOOR}
    for method in evidence.methods:
        runs = of_problem[of_problem["method"] == method]
        if not runs.empty:
            models[method] = DENSE if method == DENSE else first_seed(runs).model
    memory = {arena: evidence.memory(problem, arena=arena) for arena in (True, False)}
    for (network, model), arena in product(models.items(), memory):
        row = memory[arena].get(model, {})
        numbers = {name: _get(row, name) for name in (*_ADDED, *_WHOLE)}
        yield {"problem": problem, "network": network, "arena": arena, **numbers}


def _row(n: Mapping[str, Any]) -> tuple[str, ...]:
    texts = []
    for state in _STATES:
        name = f"added_{state}"
        mib, low, high = (n[f"{name}_{which}mib"] for which in ("", "low_", "high_"))
        share, least, most = (100 * n[f"{name}_ratio{which}"] for which in ("", "_low", "_high"))
        texts += [between(mib, low, high, _to_a_page), between(share, least, most, number)]
    if n["network"] == FLOOR:
        texts = [NOTHING] * len(texts)
    arena = "on" if n["arena"] else "off"
    whole = (known(n[name]) for name in _WHOLE)
    return (n["problem"], display(n["network"]), arena, *texts, *whole)


def _to_a_page(mib: float) -> str:
    return f"{mib:.3f}".replace("-", "−")


def _get(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return math.nan if value is None else float(value)
