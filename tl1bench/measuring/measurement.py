"""What a measurement is: raw samples, the table made from them, and the machine they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from tabulate import tabulate

from tl1bench.files import atomic_path
from tl1bench.results.statistics import Interval, bca

FLOOR = "floor"
KEY = ["model", "batch", "threads"]
MEMORY = (*KEY, "arena", "uss_empty_mib", "uss_load_mib", "uss_run_mib", "hwm_mib")
OPERATORS = (*KEY, "node", "operator", "blocked", "calls", "mean_us", "share_pct")
# A burst was disturbed when the probe took this much longer than the tenth fastest in a hundred.
DISTURBED = 1.25
PROBE_LEVEL = 0.1
# A process's number of a model rests on at least so many calls, a ratio on so many processes.
LEAST_CALLS, LEAST_PROCESSES = 16, 3
UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)
QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99}


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """Latency and memory of some models, as far as they were asked for.

    table
        One row a model × batch × threads: latencies in µs over the quiet calls of all processes
        (`p…` by nearest rank), `first_us` the median over processes of the first call, `ratio_p50`
        the geometric mean over processes of p50 / the baseline's p50 in the same process, with a
        95 % interval over processes; `floor_us` the p50 of an Identity graph in the same rounds;
        `calls` how many were timed, `quiet_pct` the share of them that counts and `processes` how
        many the ratio rests on; convolutions, file size, and memory (arena on) where measured.
    samples
        Every timed call: model, batch, threads, process, round, call, ns, the probe_ns around its
        burst, and whether it is `quiet` (see `undisturbed`).
    per_process
        Each process by itself: first_us, p50_us, ratio_p50, calls.
    memory
        MiB of fresh processes, allocator arena on and off: unique set size when empty, after
        loading, after running; peak resident size.
    operators
        Time per operator of the models that were asked for, from onnxruntime's profiler.
    machine
        The machine, the protocol's settings, and `trusted` with the `reason` if it is false.
    """

    table: pd.DataFrame
    samples: pd.DataFrame
    per_process: pd.DataFrame
    memory: pd.DataFrame
    operators: pd.DataFrame
    machine: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return machine, table and memory as JSON-able values, None where nothing is known."""
        return {
            "machine": self.machine,
            "rows": _rows(self.table),
            "memory": _rows(self.memory),
            "processes": _rows(self.per_process),
            "operators": _rows(self.operators),
        }

    def save_samples(self, target: Path) -> None:
        """Write the samples as Parquet (zstd), atomically."""
        with atomic_path(Path(target)) as draft:
            self.samples.to_parquet(draft, compression="zstd", index=False)

    def __str__(self) -> str:
        shown = self.table.assign(
            interval=[
                f"{low:.3f}–{high:.3f}"
                for low, high in zip(self.table["ratio_low"], self.table["ratio_high"], strict=True)
            ],
            blocked=self.table["conv_blocked"].astype(str)
            + "/"
            + self.table["conv_total"].astype(str),
            KiB=self.table["file_bytes"] / 1024,
        )
        columns = {
            "model": "",
            "batch": "d",
            "threads": "d",
            "first_us": ".1f",
            "min_us": ".1f",
            "p50_us": ".1f",
            "p90_us": ".1f",
            "p99_us": ".1f",
            "ratio_p50": ".3f",
            "interval": "",
            "floor_us": ".1f",
            "blocked": "",
            "KiB": ".1f",
            "uss_load_mib": ".1f",
            "uss_run_mib": ".1f",
        }
        table = tabulate(
            _known(shown[list(columns)]).to_numpy().tolist(),
            headers=list(columns),
            floatfmt=tuple(f or "g" for f in columns.values()),
            missingval="",
        )
        return f"{self._headline()}\n{table}"

    __repr__ = __str__

    def _headline(self) -> str:
        protocol = self.machine["protocol"]
        head = (
            f"{self.machine['cpu']}, onnxruntime {self.machine['versions']['onnxruntime']}, "
            f"{protocol['provider']}, {protocol['mode']} mode, {protocol['processes']} processes; "
            f"ratios to {protocol['baseline']}"
        )
        if protocol["processes"] < 5:
            head += "\nFewer than the 5 processes that the protocol asks for."
        if not self.machine["trusted"]:
            head += f"\nNOT TO BE TRUSTED: {self.machine['reason']}."
        for threads, reason in self.machine["reasons"].items():
            if reason and reason != self.machine["reason"]:
                head += f"\nNOT TO BE TRUSTED at {threads} threads: {reason}."
        return head


def assemble(
    samples: pd.DataFrame,
    first: pd.DataFrame,
    constant: pd.DataFrame,
    memory: pd.DataFrame,
    operators: pd.DataFrame,
    machine: dict[str, Any],
) -> Measurement:
    """Make the tables from what the workers brought back.

    `samples` and `first` have the columns model, batch, threads, process and ns (samples also
    `quiet`), `constant` one row a model; the baseline and the seed stand in the machine's
    `protocol`.
    """
    protocol = machine["protocol"]
    per_process = by_process(samples, first, protocol["baseline"])
    table = summarize(samples, per_process, protocol["seed"]).merge(
        constant, on="model", how="left"
    )
    usual = memory[memory["arena"].astype(bool)].drop(columns=["arena", "uss_empty_mib"])
    table = table.merge(usual, on=KEY, how="left")
    return Measurement(table, samples, per_process, memory, operators, machine)


def undisturbed(samples: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which calls were made while nothing else slowed the machine down.

    The probes around a burst must stay within 25 % of their fast level (the tenth percentile) at
    that batch and thread count. It is a statement about the machine: the networks' own times take
    no part in it. Seen with a neighbour on the host: a small network took 1.6 times as long, a
    large one 1.2 times, and their ratio was off by a quarter.

    A process in which a model has fewer than 16 such calls says nothing about it: those calls do
    not count either. A model that fewer than three processes would speak for has all its calls
    counted, as nothing better is there.
    """
    probes = samples["probe_ns"]
    setting = samples.groupby(["batch", "threads"])["probe_ns"]
    level = setting.transform("quantile", PROBE_LEVEL)
    quiet = probes <= DISTURBED * level
    samples = samples.assign(quiet=quiet)
    own = samples.groupby([*KEY, "process"], observed=True)["quiet"]
    quiet &= own.transform("sum") >= LEAST_CALLS
    speaking = samples["process"].where(quiet)
    model = samples.assign(process=speaking).groupby(KEY, observed=True)["process"]
    every = samples.groupby(KEY, observed=True)["process"].transform("nunique")
    enough = model.transform("nunique") >= np.minimum(every, LEAST_PROCESSES)
    return (quiet | ~enough).to_numpy()


def by_process(samples: pd.DataFrame, first: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return first_us, p50_us (of quiet calls), ratio_p50 and calls by model and process.

    Where a process has no quiet calls of the model or of the baseline, its ratio is unknown.
    """
    key = [*KEY, "process"]
    quiet = samples[samples["quiet"]].groupby(key, observed=True)["ns"]
    calls = samples.groupby(key, observed=True).size()
    table = pd.DataFrame(
        {"p50_us": quiet.apply(lambda ns: nearest_rank_us(ns, 0.5)), "calls": calls}
    ).reset_index()
    table = table.astype({"model": str}).merge(first, on=key, validate="1:1")
    reference = table[table["model"] == baseline].set_index(key[1:])["p50_us"].rename("reference")
    table = table.join(reference, on=key[1:])
    return table.assign(first_us=table["ns"] / 1e3, ratio_p50=table["p50_us"] / table["reference"])[
        [*key, "first_us", "p50_us", "ratio_p50", "calls"]
    ]


def summarize(samples: pd.DataFrame, per_process: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the latency columns of the table, models in the samples' category order."""
    processes = per_process.groupby(KEY)
    rows = []
    for at, calls in samples.groupby(KEY, observed=True):
        own, ns = processes.get_group(at), calls["ns"][calls["quiet"]]
        ratios = own["ratio_p50"].dropna()
        log_ratio = bca(np.log(ratios), seed=seed) if len(ratios) else UNKNOWN
        rows.append(
            {
                **dict(zip(KEY, at, strict=True)),
                "first_us": own["first_us"].median(),
                "min_us": ns.min() / 1e3,
                **{name: nearest_rank_us(ns, q) for name, q in QUANTILES.items()},
                "ratio_p50": math.exp(log_ratio.estimate),
                "ratio_low": math.exp(log_ratio.low),
                "ratio_high": math.exp(log_ratio.high),
                "calls": len(calls),
                "quiet_pct": 100 * len(ns) / len(calls),
                "processes": len(ratios),
            }
        )
    table = pd.DataFrame(rows)
    floor = table[table["model"] == FLOOR].set_index(KEY[1:])["p50_us"].rename("floor_us")
    return table.join(floor, on=KEY[1:])


def nearest_rank_us(ns: ArrayLike, quantile: float) -> float:
    """Return the ⌈q n⌉-th smallest of `ns` in µs: always a value that occurred."""
    return float(np.quantile(np.asarray(ns), quantile, method="inverted_cdf")) / 1e3


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    records = _known(table).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in records]


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), None)
