"""What a measurement is: raw samples, the table made from them, and the machine they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from tl1bench.errors import printable
from tl1bench.files import atomic_path
from tl1bench.measuring.footprints import STATES, footprints
from tl1bench.measuring.summaries import KEY, by_process, summarize

OPERATORS = (*KEY, "node", "operator", "blocked", "calls", "mean_us", "share_pct")
_MEMORY_OF_THE_TABLE = (
    *("uss_load_mib", "uss_run_mib", "hwm_mib"),
    *(f"added_{state}_{name}" for state in STATES for name in ("mib", "ratio")),
)


@dataclass(frozen=True, eq=False)
class Raw:
    """What the workers brought back.

    samples, first
        Every timed call and the first one of each process: model, batch, threads, process and ns;
        samples also round, call, probe_ns and `quiet`.
    constant
        One row a model: what is the same at all settings.
    memory, operators
        Columns `footprints.PROCESSES` and `OPERATORS`; may have no rows.
    """

    samples: pd.DataFrame
    first: pd.DataFrame
    constant: pd.DataFrame
    memory: pd.DataFrame
    operators: pd.DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """Latency and memory of some models, as far as they were asked for.

    table
        One row a model × batch × threads: latencies in µs over the quiet calls of all processes
        (`p…` by nearest rank), `first_us` the median over processes of the first call, `ratio_p50`
        the geometric mean over processes of p50 / the baseline's p50 in the same process, with a
        95 % interval over processes; `floor_us` the p50 of an Identity graph in the same rounds;
        `calls` how many were timed, `quiet_pct` the share of them that counts and `processes` how
        many the ratio rests on; convolutions, file size, and memory (arena on) where measured: of
        the whole process, and what the model adds to the floor's with the ratio to the baseline's.
    samples
        Every timed call: model, batch, threads, process, round, call, ns, the probe_ns around its
        burst, and whether it is `quiet` (see `summaries.undisturbed`).
    per_process
        Each process by itself: first_us, p50_us, ratio_p50, calls.
    memory
        MiB of fresh processes, allocator arena on and off: unique set size when empty, after
        loading, after running; peak resident size; what the model adds to the floor after loading
        and at its peak, and the ratio to what the baseline adds, with ranges over the processes
        (see `footprints`).
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
            model=[printable(str(label)) for label in self.table["model"]],
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
            "uss_run_mib": ".1f",
            "added_load_mib": ".2f",
            "added_peak_mib": ".2f",
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
            f"ratios to {printable(str(protocol['baseline']))}"
        )
        if protocol["processes"] < 5:
            head += "\nFewer than the 5 processes that the protocol asks for."
        if not self.machine["trusted"]:
            head += f"\nNOT TO BE TRUSTED: {self.machine['reason']}."
        for threads, reason in self.machine["reasons"].items():
            if reason and reason != self.machine["reason"]:
                head += f"\nNOT TO BE TRUSTED at {threads} threads: {reason}."
        return head


def assemble(raw: Raw, machine: dict[str, Any]) -> Measurement:
    """Make the tables; the baseline and the seed stand in the machine's `protocol`."""
    protocol = machine["protocol"]
    per_process = by_process(raw.samples, raw.first, protocol["baseline"])
    table = summarize(raw.samples, per_process, protocol["seed"])
    table = table.merge(raw.constant, on="model", how="left")
    memory = footprints(raw.memory, protocol["baseline"])
    usual = memory[memory["arena"].astype(bool)]
    table = table.merge(usual[[*KEY, *_MEMORY_OF_THE_TABLE]], on=KEY, how="left")
    return Measurement(table, raw.samples, per_process, memory, raw.operators, machine)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    records = _known(table).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in records]


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), None)
