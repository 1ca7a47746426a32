"""Where a network's time goes, operator by operator, as onnxruntime's own profiler sees it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from scipy.stats import trim_mean

from tl1bench.measuring.graphs import read_graph
from tl1bench.measuring.workers import run_worker

COLUMNS = ("node", "operator", "blocked", "calls", "mean_us", "share_pct")
# onnxruntime ends the names of the nodes it rewrites for the blocked layout like this.
BLOCKED_SUFFIX = "_nchwc"
TRIMMED = 0.25  # at each end


def profile(
    path: str | Path,
    batch: int = 1,
    threads: int = 1,
    *,
    runs: int = 200,
    warmup: int = 50,
    provider: str = "cpu",
) -> pd.DataFrame:
    """Time per operator of the optimised graph.

    The profiler counts whole microseconds and slows every operator down: read shares, not
    latencies, and nothing from operators of a microsecond or two.

    Parameters
    ----------
    path
        An ONNX file.
    batch, threads
        Examples a call and onnxruntime's threads.
    runs, warmup
        How many calls count, and how many go before them.
    provider
        "cpu" or "cuda".

    Returns
    -------
    DataFrame
        One row a node, in the order it first ran: node, operator, blocked (ran in the NCHWc
        layout), calls, mean_us (of the middle half: an interrupt lasts a hundred operators),
        share_pct of all operators. `Reorder…` rows are what entering and leaving the blocked layout
        costs.

    Raises
    ------
    MeasurementError
        If the file is missing, not ONNX, or does not run at that batch.
    """
    model = read_graph(path).path
    with TemporaryDirectory(prefix="tl1bench-") as scratch:
        job = {
            "task": "profile",
            "model": str(model),
            "batch": batch,
            "threads": threads,
            "provider": provider,
            "runs": warmup + runs,
        }
        file = Path(run_worker(job, Path(scratch) / "job")["file"])
        return operators(json.loads(file.read_text(encoding="utf-8")), warmup)


def operators(events: Iterable[Mapping[str, Any]], warmup: int) -> pd.DataFrame:
    """Return the table of `profile` from the profiler's events, without the first `warmup` runs."""
    durations: dict[tuple[str, str], list[int]] = defaultdict(list)
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            node = event["name"].removesuffix("_kernel_time")
            durations[node, event["args"]["op_name"]].append(event["dur"])
    kept = {key: spent[warmup:] for key, spent in durations.items() if len(spent) > warmup}
    means = {key: float(trim_mean(spent, TRIMMED)) for key, spent in kept.items()}
    total = sum(means.values()) or 1
    rows = [
        (
            node,
            operator,
            node.endswith(BLOCKED_SUFFIX),
            len(spent),
            means[node, operator],
            100 * means[node, operator] / total,
        )
        for (node, operator), spent in kept.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
