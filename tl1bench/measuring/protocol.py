"""The measuring protocol: fresh processes, interleaved shuffled rounds, floor, memory, machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from tl1bench.measuring import machine
from tl1bench.measuring.bench import Bench, Timed
from tl1bench.measuring.footprints import PROCESSES
from tl1bench.measuring.graphs import read_graph, write_floor
from tl1bench.measuring.measurement import OPERATORS, Measurement, Raw, assemble
from tl1bench.measuring.modes import make_plan
from tl1bench.measuring.request import Request, counts, find, read_models
from tl1bench.measuring.summaries import undisturbed
from tl1bench.results import FLOOR
from tl1bench.runtime.timing import Plan

Progress = Callable[[int, int, str], None]


def measure(
    paths: Sequence[str | Path],
    batch: int | Sequence[int] = 1,
    threads: int | Sequence[int] = 1,
    mode: str = "quick",
    baseline: str | Path | None = None,
    seed: int = 0,
    processes: int = 5,
    labels: Sequence[str] | None = None,
    *,
    headline_only: Sequence[str | Path] = (),
    memory_of: Sequence[str | Path] | None = None,
    operators_of: Sequence[str | Path] = (),
    provider: str = "cpu",
    progress: Progress | None = None,
) -> Measurement:
    """Measure ONNX files against each other, at every combination of `batch` and `threads`.

    Each combination is measured in `processes` fresh processes without torch. In each, all models
    are loaded in shuffled order, warmed up with 50 calls and timed in shuffled rounds of 8 calls,
    together with an Identity graph on the same input, the floor. Bursts during which the machine
    itself was slowed down are kept in the samples but do not count (`summaries.undisturbed`).

    Parameters
    ----------
    paths, labels
        The files, and their names in the tables (file stems by default).
    batch, threads
        Examples a call and onnxruntime's threads, one number or several; the first of both is the
        headline.
    mode
        `quick` times at least 128 calls a model over all processes, and more while 0.6 s a process
        last; `full` at least 1,024 calls, spread over at least 10 s of running that model.
    baseline
        What ratios refer to, a path or label; the first by default.
    seed
        Of the rounds' order and of the intervals.
    processes
        How many time each combination; fewer than 5 are said to be few.
    headline_only
        Paths or labels of models that are timed at the headline alone.
    memory_of
        Paths or labels of models whose memory is measured, at every batch and the first of
        `threads`, with the allocator's arena and without it, each in up to three fresh processes,
        and the floor's beside them; all by default.
    operators_of
        Paths or labels of models whose operators are profiled, at the first of `threads`.
    provider
        "cpu" or "cuda".
    progress
        Called with the number of steps done, the number of all steps, and what comes next.

    Returns
    -------
    Measurement
        Tables, samples and the machine. A busy machine raises nothing: `machine["trusted"]` is
        false then.

    Raises
    ------
    MeasurementError
        If a file is missing, not ONNX or does not run, if the models take different inputs, or if a
        batch does not fit them.
    """
    batches, thread_counts = counts("batch", batch), counts("threads", threads)
    counts("processes", processes)
    graphs = read_models(paths, labels)
    request = Request(
        graphs=graphs,
        baseline=next(iter(graphs)) if baseline is None else find(graphs, baseline),
        batches=batches,
        threads=thread_counts,
        processes=processes,
        headline_only=frozenset(find(graphs, key) for key in headline_only),
        memory_of=tuple(graphs if memory_of is None else (find(graphs, k) for k in memory_of)),
        operators_of=tuple(find(graphs, key) for key in operators_of),
    )
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        floor = Path(folder) / "floor.onnx"
        write_floor(graphs[request.baseline].path, floor)
        every = {**graphs, FLOOR: read_graph(floor)}
        say = _narrator(progress, request.steps())
        raw, state = _run(Bench(every, provider, seed, Path(folder), say), request, mode)
    protocol = {
        "mode": mode,
        "provider": provider,
        "baseline": request.baseline,
        "processes": processes,
        "seed": seed,
        "calls_a_burst": Plan.calls,
        "warmup": Plan.warmup,
    }
    return assemble(raw, {**machine.record(), **state, "protocol": protocol})


def _run(bench: Bench, request: Request, mode: str) -> tuple[Raw, dict[str, Any]]:
    """Return what the workers found, and whether the machine was quiet meanwhile."""
    timed_at = request.timed_at()
    plans = {
        setting: make_plan(mode, len(labels), request.processes, setting.threads)
        for setting, labels in timed_at.items()
    }
    constant = bench.inspect(request.batches)
    before = machine.look()
    # Settings alternate inside each process number, so that slow drift meets all of them.
    timed = [
        bench.time(setting, process, plans[setting], labels)
        for process in range(request.processes)
        for setting, labels in timed_at.items()
    ]
    where = request.on_first_threads()
    operators = [bench.profile(*pair) for pair in product(request.operators_of, where)]
    watch = machine.Watch(before, machine.look())
    samples = pd.concat([t.samples for t in timed], ignore_index=True)
    samples = samples.assign(quiet=undisturbed(samples))
    raw = Raw(
        samples=samples,
        first=pd.concat([t.first for t in timed], ignore_index=True),
        constant=constant,
        memory=_memory(bench, request),
        operators=pd.concat([pd.DataFrame(columns=list(OPERATORS)), *operators])[list(OPERATORS)],
    )
    on_cpu = _least_on_cpu(timed) if bench.provider == "cpu" else None
    by_threads = samples.groupby("threads")["quiet"].mean()
    quiet = {n: float(by_threads[n]) for n in request.threads}
    return raw, machine.trust(watch, request.threads, on_cpu, quiet)


def _least_on_cpu(timed: Sequence[Timed]) -> float | None:
    """Return the smallest share of its time that a worker of one thread was on a core."""
    shares = (t.on_cpu for t in timed if (t.first["threads"] == 1).all())
    return min(shares, default=None)


def _memory(bench: Bench, request: Request) -> pd.DataFrame:
    # What a process has to itself does not depend on its neighbours: one runs on each core.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rows = list(pool.map(lambda job: bench.memory(*job), request.memory_jobs()))
    return pd.DataFrame(rows, columns=list(PROCESSES))


def _narrator(progress: Progress | None, total: int) -> Callable[[str], None]:
    done = iter(range(total))

    def say(what: str) -> None:
        if progress is not None:
            progress(next(done), total, what)

    return say
