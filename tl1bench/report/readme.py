"""The numbers in README.md: written between markers from the committed results, never typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from tl1bench import files, results
from tl1bench.results import layout

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, root: Path) -> str:
    """Return `text` with each generated block made anew from the files under `root`."""
    reports = root / "reports"
    table = results.read(reports / "default" / layout.RUNS)
    blocks = {
        "times": _times(
            files.read_json(reports / "default" / layout.ACCOUNT),
            files.read_json(tests) if (tests := reports / "tests.json").is_file() else None,
        ),
        "results": _results(table),
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


def _results(table: pd.DataFrame) -> str:
    chosen = table[table["selected"] & table["method"].isin([results.DENSE, results.HERO])]
    rows = []
    for (problem, method), runs in chosen.groupby(["problem", "method"], sort=False):
        ratio = runs["latency_ratio_p50"].mean()
        error = runs["test_error_pct"]
        kept = 100 * (runs["weights_compact"] / runs["weights_dense"]).mean()
        macs = 100 * (runs["macs_compact"] / runs["macs_dense"]).mean()
        rows.append(
            {
                "problem": problem,
                "method": str(method).replace("_", " "),
                "test error %": f"{error.mean():.2f} ± {error.std():.2f}",
                "non-zero weights": f"{runs['nonzero_weights'].mean():,.0f}",
                "weights left": f"{kept:.1f} %",
                "MACs left": f"{macs:.1f} %",
                "latency": f"{ratio:.2f} ×",
                "architecture (first seed)": runs.sort_values("seed")["architecture"].iloc[0],
            }
        )
    return str(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
