"""The numbers in README.md: written between markers from the committed results, never typed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from tl1bench import config, files, results, tasks
from tl1bench.report.tables.between_fronts import outcome
from tl1bench.report.within import within
from tl1bench.results import Objective, guessing, layout
from tl1bench.results.between_fronts import EQUAL, FrontVersus, versus_fronts
from tl1bench.results.evidence import GUESSES
from tl1bench.results.printed import NOTHING, display, spread

_WANTED: dict[Objective, str] = {"nonzero": "non-zeros", "macs": "MACs", "latency": "latency"}
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, root: Path) -> str:
    """Return `text` with each generated block made anew from the files under `root`."""
    reports, settings = root / "reports", config.load(root / "params.yaml")
    table = results.read(reports / "default" / layout.RUNS)
    kinds = {
        name: tasks.load(settings.datasets[problem.dataset].task)
        for name, problem in settings.problems.items()
    }
    blocks = {
        "times": _times(
            files.read_json(reports / "default" / layout.ACCOUNT),
            files.read_json(tests) if (tests := reports / "tests.json").is_file() else None,
        ),
        "verdict": _verdict(table),
        "results": _results(table, settings.select.tolerance_pct, kinds),
    }

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}{blocks[found[2]]}\n{found[3]}"

    return _BLOCK.sub(fill, text)


def _times(account: Mapping[str, Any], tests: Mapping[str, Any] | None) -> str:
    passing = (
        f"`make test` passes {tests['passed']} tests in {tests['seconds'] / 60:.1f} minutes. "
        if tests
        else ""
    )
    return (
        f"Seen on {account['cores']} cores ({account['cpu']}): `make repro` runs the default "
        f"profile in {account['total_seconds'] / 60:.1f} minutes, of which "
        f"{account['stages']['train'] / 60:.1f} train and {account['stages']['measure'] / 60:.1f} "
        f"measure. {passing}Setting up the environment comes on top, once: some minutes of "
        "downloads."
    )


def _results(table: pd.DataFrame, tolerance: float, kinds: Mapping[str, tasks.Task]) -> str:
    rows, guessed = [], guessing.unlearned(table[table["selected"]])
    error = " or ".join(dict.fromkeys(f"test {t.error} {t.unit}" for t in kinds.values()))
    for problem, runs in table.groupby("problem", sort=False):
        dense = runs[runs["method"] == results.DENSE]
        if problem in guessed:
            rows.append(_row(str(problem), "nothing was learned", results.DENSE, dense, error))
            continue
        rows.append(_row(str(problem), "", results.DENSE, dense, error))
        for objective, wanted in _WANTED.items():
            chosen = runs[results.select(runs, tolerance, objective)]
            column, guesses = results.OBJECTIVES[objective], guessing.marks(chosen)
            able = {m for m in within(chosen, runs, tolerance) if (problem, m) not in guesses}
            sizes = chosen[chosen["method"] != results.DENSE].groupby("method", sort=False)[column]
            means = sizes.mean().dropna()
            means = means[means.index.isin(able)]
            smallest = [] if means.empty else [str(means.idxmin())]
            # The method of this project, and the smallest of all, be it another's.
            for method in dict.fromkeys((results.HERO, *smallest)):
                own = chosen[chosen["method"] == method]
                if not own.empty:
                    named = wanted if method in able else f"{wanted} (none within)"
                    mark = GUESSES if (problem, method) in guesses else ""
                    rows.append(_row(str(problem), named, method, own, error, mark))
    return str(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def _verdict(table: pd.DataFrame) -> str:
    """Say by whole fronts, and in numbers, where integrated TL1 wins, ties and loses."""
    table = table[~table["problem"].isin(guessing.unlearned(table[table["selected"]]))]
    methods = [m for m in dict.fromkeys(table["method"]) if m not in (results.DENSE, results.HERO)]
    objectives: dict[Objective, str] = {"nonzero": "non-zero weights", "macs": "MACs"}
    found = {
        (str(problem), wanted): versus_fronts(table, str(problem), results.HERO, methods, by)
        for problem in dict.fromkeys(table["problem"])
        for by, wanted in objectives.items()
    }
    rows = [
        {"problem": problem, "size": wanted, **_against(pairs, methods)}
        for (problem, wanted), pairs in found.items()
        if pairs
    ]
    lines = []
    for wanted in objectives.values():
        said = [outcome(v) for (_, by), pairs in found.items() if by == wanted for v in pairs]
        counts = ", ".join(f"{verb} {said.count(verb)}" for verb in ("wins", "ties", "loses"))
        if said:
            lines.append(f"* By {wanted}: of {len(said)} pairs of fronts integrated TL1 {counts}.")
    grid = str(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    note = (
        "Integrated TL1 against each other method: whole fronts of size and test error, paired by "
        "seed; × is its size over theirs where each front crosses dense's validation error + "
        f"{EQUAL:g} points. A verdict needs the interval and the Holm-adjusted p to agree."
    )
    return "\n".join([*lines, "", grid, "", note]) if lines else ""


def _against(pairs: Sequence[FrontVersus], methods: Sequence[str]) -> dict[str, str]:
    """Return a cell for each rival: the verdict, and the ratio of sizes at equal error."""
    cells = {display(m): NOTHING for m in methods}
    for v in pairs:
        size = f" {v.size.estimate:.2f} ×" if math.isfinite(v.size.estimate) else ""
        verdict = outcome(v)
        word = verdict if verdict == "ties" else f"**{verdict}**"
        cells[display(v.baseline)] = f"{word}{size}"
    return cells


def _row(
    problem: str, wanted: str, method: str, runs: pd.DataFrame, error: str, mark: str = ""
) -> dict[str, str]:
    runs = runs.sort_values("seed")
    errors, ratio = runs["test_error_pct"], runs["latency_ratio_p50"].mean()
    return {
        "problem": problem,
        "smallest in": wanted,
        "method": display(method) + mark,
        error: spread(errors.mean(), errors.std()),
        "non-zero weights": f"{runs['nonzero_weights'].mean():,.0f}",
        "weights": f"{runs['weights_compact'].mean():,.0f}",
        "MACs": f"{runs['macs_compact'].mean():,.0f}",
        "latency": f"{ratio:.2f} ×" if math.isfinite(ratio) else NOTHING,
        "architecture (first seed)": runs["architecture"].iloc[0],
    }
