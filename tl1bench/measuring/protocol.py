"""The measuring protocol: fresh processes, interleaved shuffled rounds, floor, memory, machine."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from tl1bench.errors import MeasurementError
from tl1bench.measuring import machine
from tl1bench.measuring.bench import Bench, Setting
from tl1bench.measuring.graphs import Graph, read_graph, write_floor
from tl1bench.measuring.measurement import (
    FLOOR,
    MEMORY,
    OPERATORS,
    Measurement,
    assemble,
    undisturbed,
)
from tl1bench.runtime.timing import Plan

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Mode:
    """What each model gets over all processes together, and what limits it."""

    calls: int  # at least so many timed calls a model
    seconds: float  # at least so long running a model
    budget_s: float  # rounds of one process, all models; more if `seconds` asks for more
    rounds: int  # at most so many rounds a process, unless `calls` asks for more


MODES = {
    "quick": Mode(calls=128, seconds=0.0, budget_s=0.6, rounds=64),
    "full": Mode(calls=1024, seconds=10.0, budget_s=0.0, rounds=128),
}


def make_plan(mode: str, models: int, processes: int, threads: int) -> Plan:
    """Return one process's share of `mode` for `models` models.

    With more than one thread each burst begins with 5 ms of untimed calls: the threads of the model
    before spin on for some milliseconds and would take the cores.
    """
    if mode not in MODES:
        raise MeasurementError(f"No mode {mode!r}: choose one of {', '.join(MODES)}.")
    chosen = MODES[mode]
    share_s = chosen.seconds / processes
    least = math.ceil(chosen.calls / (processes * Plan.calls))
    return Plan(
        rounds_min=least,
        rounds_max=max(least, chosen.rounds),
        budget_s=max(chosen.budget_s, share_s * models),
        share_s=share_s,
        settle_s=0.005 if threads > 1 else 0.0,
    )


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
    together with an Identity graph on the same input, the floor. `quick` times at least 128 calls a
    model over all processes, and more while 0.6 s a process last; `full` at least 1,024 calls,
    spread over at least 10 s of running that model. Bursts during which the machine itself was
    slowed down are kept in the samples but do not count (`measurement.undisturbed`).

    `baseline` (path or label; the first by default) is what ratios refer to. `labels` name the
    models in the tables (file stems by default). All following choices are paths or labels:
    `headline_only` are timed at the first of `batch` and of `threads` alone; `memory_of` (all by
    default) chooses whose memory is measured, in two fresh processes a model and batch, and
    `operators_of` whose operators are profiled, both at the first of `threads`. `provider` is "cpu"
    or "cuda". `progress` is called with the number of steps done, the number of all steps, and what
    comes next.

    Raises
    ------
    MeasurementError
        If a file is missing, not ONNX or does not run, if the models take different inputs, or if a
        batch does not fit them. A busy machine raises nothing: `machine["trusted"]` is false then.
    """
    batches, counts = _counts("batch", batch), _counts("threads", threads)
    _counts("processes", processes)
    named = dict(zip(_labels(paths, labels), map(read_graph, paths), strict=True))
    _same_inputs(named)
    base = next(iter(named)) if baseline is None else _find(named, baseline)
    remembered = list(named) if memory_of is None else [_find(named, key) for key in memory_of]
    profiled = [_find(named, key) for key in operators_of]
    timed_at = _settings(named, batches, counts, {_find(named, key) for key in headline_only}, base)
    plans = {s: make_plan(mode, len(own), processes, s.threads) for s, own in timed_at.items()}
    jobs = (2 * len(remembered) + len(profiled)) * len(batches) + processes * len(timed_at)
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        floor = Path(folder) / "floor.onnx"
        write_floor(named[base].path, floor)
        graphs = {**named, FLOOR: read_graph(floor)}
        bench = Bench(graphs, provider, seed, Path(folder), _narrator(progress, 1 + jobs))
        constant = bench.inspect(batches)
        before = machine.look()
        # Settings alternate inside each process number, so that slow drift meets all of them.
        timed = [
            bench.time(setting, process, plans[setting], own)
            for process in range(processes)
            for setting, own in timed_at.items()
        ]
        profiles = [
            bench.profile(label, Setting(size, counts[0]))
            for label, size in product(profiled, batches)
        ]
        watch = machine.Watch(before, machine.look())
        memory = _memory(bench, remembered, [Setting(size, counts[0]) for size in batches])
    samples = pd.concat([t.samples for t in timed], ignore_index=True)
    samples = samples.assign(quiet=undisturbed(samples))
    on_cpu = [t.on_cpu for t in timed if provider == "cpu" and (t.first["threads"] == 1).all()]
    quiet = {n: float(samples["quiet"][samples["threads"] == n].mean()) for n in counts}
    return assemble(
        samples,
        pd.concat([t.first for t in timed], ignore_index=True),
        constant,
        memory,
        pd.concat([pd.DataFrame(columns=list(OPERATORS)), *profiles])[list(OPERATORS)],
        {
            **machine.record(),
            **machine.verdict(watch, counts, min(on_cpu, default=None), quiet),
            "protocol": {
                "mode": mode,
                "provider": provider,
                "baseline": base,
                "processes": processes,
                "seed": seed,
                "calls_a_burst": Plan.calls,
                "warmup": Plan.warmup,
            },
        },
    )


def _settings(
    named: Mapping[str, Graph],
    batches: Sequence[int],
    counts: Sequence[int],
    headline_only: Set[str],
    base: str,
) -> dict[Setting, list[str]]:
    if base in headline_only:
        raise MeasurementError(f"{base!r} is the baseline: it has to be timed at every setting.")
    few = [label for label in named if label not in headline_only]
    settings = [Setting(*pair) for pair in product(batches, counts)]
    return {s: [*(few if s != settings[0] else named), FLOOR] for s in settings}


def _memory(bench: Bench, labels: Sequence[str], settings: Sequence[Setting]) -> pd.DataFrame:
    # What a process has to itself does not depend on its neighbours: one runs on each core.
    jobs = list(product(labels, settings, (True, False)))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        rows = list(pool.map(lambda job: bench.memory(*job), jobs))
    return pd.DataFrame(rows, columns=list(MEMORY))


def _counts(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    if not values or any(v < 1 for v in values) or len(set(values)) < len(values):
        raise MeasurementError(
            f"{name} must be one or several different numbers from 1, not {value}."
        )
    return values


def _labels(paths: Sequence[str | Path], labels: Sequence[str] | None) -> list[str]:
    if isinstance(paths, str | Path) or not paths:
        raise MeasurementError("measure takes a list of at least one ONNX file.")
    if labels is None:
        stems = Counter(Path(path).stem for path in paths)
        labels = [Path(p).stem if stems[Path(p).stem] == 1 else str(p) for p in paths]
    if len(labels) != len(paths):
        raise MeasurementError(f"{len(labels)} labels were given for {len(paths)} files.")
    twice = [label for label, count in Counter([*labels, FLOOR]).items() if count > 1]
    if twice:
        raise MeasurementError(
            f"Labels must differ from each other and from {FLOOR!r}: {twice[0]!r} is there twice."
        )
    return list(labels)


def _same_inputs(graphs: Mapping[str, Graph]) -> None:
    first, *others = graphs
    for label in others:
        if graphs[label].inputs != graphs[first].inputs:
            raise MeasurementError(
                f"{first!r} and {label!r} take different inputs and cannot be compared."
            )


def _find(graphs: Mapping[str, Graph], key: str | Path) -> str:
    if str(key) in graphs:
        return str(key)
    found = [label for label, graph in graphs.items() if graph.path == Path(key).resolve()]
    if len(found) != 1:
        raise MeasurementError(f"{str(key)!r} names {len(found)} of {', '.join(graphs)}.")
    return found[0]


def _narrator(progress: Progress | None, total: int) -> Callable[[str], None]:
    done = iter(range(total))

    def say(what: str) -> None:
        if progress is not None:
            progress(next(done), total, what)

    return say
