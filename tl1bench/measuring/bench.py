"""One comparison's models and the jobs that worker processes do on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tl1bench.measuring.graphs import Graph, count_convolutions
from tl1bench.measuring.profiling import profile
from tl1bench.measuring.request import Setting
from tl1bench.measuring.workers import run_worker
from tl1bench.runtime.timing import Plan

MEMORY_RUNS = 20
PROFILE_RUNS, PROFILE_WARMUP = 60, 20


@dataclass(frozen=True)
class Timed:
    """One process's result: every timed call, every first call, share of the time on a core."""

    samples: pd.DataFrame
    first: pd.DataFrame
    on_cpu: float


@dataclass(frozen=True)
class Bench:
    """Models by label (the floor last), where workers may write, and whom to tell what is next."""

    graphs: Mapping[str, Graph]
    provider: str
    seed: int
    scratch: Path
    say: Callable[[str], None]

    def inspect(self, batches: tuple[int, ...]) -> pd.DataFrame:
        """Try every model at every batch; return what is the same at all settings, by model."""
        self.say("reading the models")
        folder = self.scratch / "inspect"
        paths = [str(graph.path) for graph in self.graphs.values()]
        job = {"task": "inspect", "provider": self.provider, "batches": batches, "models": paths}
        run_worker(job, folder)
        rows = []
        for number, (label, graph) in enumerate(self.graphs.items()):
            total, blocked = count_convolutions(folder / f"{number}.onnx")
            rows.append(
                {
                    "model": label,
                    "conv_total": total,
                    "conv_blocked": blocked,
                    "conv_channels": graph.conv_channels,
                    "file_bytes": graph.file_bytes,
                    "gzip_bytes": graph.gzip_bytes,
                }
            )
        return pd.DataFrame(rows)

    def time(self, setting: Setting, process: int, plan: Plan, labels: list[str]) -> Timed:
        """Time the models `labels` in one fresh process, loaded in an order of its own.

        The floor is loaded first, so that its first call pays for what all first calls share, and
        it is also the probe.

        Parameters
        ----------
        setting
            Batch size and threads.
        process
            Its number, which decides on the order.
        plan
            What it does.
        labels
            The models, the floor last.

        Returns
        -------
        Timed
            Calls in nanoseconds.
        """
        self.say(
            f"timing in process {process + 1} at batch {setting.batch}, {setting.threads} thr."
        )
        key = [self.seed, process, setting.batch, setting.threads]
        last = len(labels) - 1
        order = np.array([last, *np.random.default_rng(key).permutation(last)])
        folder = self.scratch / "-".join(["time", *map(str, key)])
        result = run_worker(
            {
                "task": "time",
                "models": [str(self.graphs[labels[n]].path) for n in order],
                "probe": str(self.graphs[labels[last]].path),
                "provider": self.provider,
                **asdict(setting),
                "seed": key,
                "plan": asdict(plan),
            },
            folder,
        )
        ns, probe_ns = np.load(folder / "samples.npy"), np.load(folder / "probes.npy")
        where = {**asdict(setting), "process": process}
        first = pd.DataFrame({"model": [labels[n] for n in order], "ns": result["first_ns"]})
        samples = _long(ns, probe_ns, order, list(self.graphs), labels, where)
        return Timed(samples, first.assign(**where), result["on_cpu"])

    def memory(self, label: str, setting: Setting, arena: bool, process: int) -> dict[str, Any]:
        """Measure one model's memory in a fresh process.

        Parameters
        ----------
        label
            The model.
        setting
            Batch size and threads.
        arena
            Whether onnxruntime's allocator keeps its arena.
        process
            Its number.

        Returns
        -------
        dict
            A row of `footprints.PROCESSES`, in MiB.
        """
        self.say(f"memory of {label} at batch {setting.batch}")
        job = {
            "task": "memory",
            "model": str(self.graphs[label].path),
            "provider": self.provider,
            **asdict(setting),
            "arena": arena,
            "runs": MEMORY_RUNS,
        }
        number = list(self.graphs).index(label)
        folder = self.scratch / f"memory-{number}-{setting.batch}-{arena}-{process}"
        where = {"model": label, **asdict(setting), "arena": arena, "process": process}
        return {**where, **run_worker(job, folder)}

    def profile(self, label: str, setting: Setting) -> pd.DataFrame:
        """Return time per operator of one model, under onnxruntime's profiler."""
        self.say(f"operators of {label} at batch {setting.batch}")
        table = profile(
            self.graphs[label].path,
            **asdict(setting),
            runs=PROFILE_RUNS,
            warmup=PROFILE_WARMUP,
            provider=self.provider,
        )
        return table.assign(model=label, **asdict(setting))


def _long(
    ns: np.ndarray[Any, np.dtype[np.int64]],
    probe_ns: np.ndarray[Any, np.dtype[np.int64]],
    order: np.ndarray[Any, np.dtype[np.int64]],
    every: list[str],
    labels: list[str],
    where: Mapping[str, int],
) -> pd.DataFrame:
    # int32 holds calls up to 2.1 s; a slower model gets the wider type.
    narrow = max(ns.max(), probe_ns.max()) <= np.iinfo(np.int32).max
    width = np.int32 if narrow else np.int64
    model, turn, call = np.indices(ns.shape, dtype=np.int32).reshape(3, -1)
    names = np.array(labels, dtype=object)
    return pd.DataFrame(
        {
            "model": pd.Categorical(names[order[model]], categories=every),
            **{name: np.full(ns.size, value, dtype=np.int32) for name, value in where.items()},
            "round": turn,
            "call": call,
            "ns": ns.ravel().astype(width),
            "probe_ns": np.repeat(probe_ns.ravel(), ns.shape[-1]).astype(width),
        }
    )
