"""Where a pipeline's wall time went: a line a stage, summed and printed at the end."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tl1bench.measuring import machine
from tl1bench.pipeline.store import WORK

# The order of the flow; what is left of the total is DVC itself.
_STAGES = (
    *("data", "sources", "start", "train", "compact", "export"),
    *("machine", "measure", "collect", "report"),
)


def _file(profile: str, root: Path = Path()) -> Path:
    return root / WORK / "account" / f"{profile}.jsonl"


def start(profile: str, root: Path) -> float:
    """Return the time now; the account of a run that was killed goes on, a closed one is over."""
    closed = _file(profile, root).with_suffix(".closed")
    if closed.exists():
        _file(profile, root).unlink(missing_ok=True)
        closed.unlink()
    return time.time()


@contextmanager
def stage(profile: str, name: str) -> Iterator[dict[str, Any]]:
    """Add this process's life so far and to come to the account of `profile`, when it succeeds.

    Yields what else the account is to know; `{"kept": True}` says that some of the work was done by
    an earlier run, so that the time is not that of a whole one.
    """
    more: dict[str, Any] = {}
    yield more
    # From the birth of the process: interpreter and imports are part of what a stage costs.
    seconds = time.time() - psutil.Process().create_time()
    file = _file(profile)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        entry = {"stage": name, "seconds": seconds, "ended": time.time(), **more}
        stream.write(json.dumps(entry) + "\n")


def close(profile: str, began: float, root: Path) -> dict[str, Any]:
    """Return the account: seconds in all and by stage, and the machine.

    Stages that finished before the run was killed count; what DVC took between them does from
    `began` on.

    Parameters
    ----------
    profile
        Name of the profile.
    began
        When this call of the pipeline began, in seconds since the epoch.
    root
        The checkout.

    Returns
    -------
    dict
        `total_seconds`, `stages`, `cores`, `cpu`, and whether the run was `whole`: it trained all
        that it shows.
    """
    spent: dict[str, float] = defaultdict(float)
    now, seen, kept = time.time(), 0.0, False
    if _file(profile, root).exists():
        for line in _file(profile, root).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            spent[entry["stage"]] += entry["seconds"]
            kept = kept or entry.get("kept", False)
            seen += entry["seconds"] if entry["ended"] > began else 0.0
        _file(profile, root).with_suffix(".closed").touch()
    stages = {name: spent[name] for name in _STAGES if spent[name]}
    stages["dvc"] = now - began - seen
    return {
        "total_seconds": round(sum(stages.values()), 1),
        "stages": {name: round(seconds, 1) for name, seconds in stages.items()},
        "cores": len(os.sched_getaffinity(0)),
        "cpu": machine.record()["cpu"],
        "whole": "train" in stages and not kept,
    }


def show(account: dict[str, Any], profile: str, console: Console) -> None:
    """Print an account as a table.

    Parameters
    ----------
    account
        What `close` returned.
    profile
        Name of the profile.
    console
        Where it is printed.
    """
    table = Table(title=f"Where the time went ({profile})")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    total = account["total_seconds"]
    for name, seconds in {**account["stages"], "total": total}.items():
        table.add_row(name, f"{seconds:.1f}", f"{100 * seconds / max(total, 1e-9):.1f} %")
    console.print(table)
