"""Several small runs at once on one card: in turn, as CUDA graphs on streams, and as processes.

In turn is one after another. Graphs take the host out of each run; processes, which is what the
pipeline starts, give each run a core of its own to launch from.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional

from tl1bench import ProximalSGD, penalties
from tools.gpu_proof import aside
from tools.gpu_proof.clock import Run, captured, peak_mib
from tools.gpu_proof.scale import Proof, Row, Scale

BATCH, WARM = 128, 3


def run(proof: Proof) -> Iterator[Row]:
    """Yield iterations a second of all runs together, for each number of runs."""
    scale, one = proof.scale, 0.0
    for count in scale.together:
        row: Row = {"what": f"{count} runs of {scale.network}", "runs": count}
        row["in_turn_per_s"] = _rate(scale, [_iteration(scale, i) for i in range(count)], [])
        one = one or row["in_turn_per_s"]
        if scale.card:
            streams = [torch.cuda.Stream() for _ in range(count)]
            turns = [captured(_iteration(scale, i), s) for i, s in enumerate(streams)]
            row["graphs_per_s"] = _rate(scale, turns, streams)
        row["peak_mib"] = peak_mib(scale.device)
        if count > 1:
            row["processes_per_s"] = _by_processes(scale, count, proof.seconds)
        for way in ("graphs", "processes"):
            if f"{way}_per_s" in row:
                row[f"{way}_to_one"] = row[f"{way}_per_s"] / one
        yield row


def _iteration(scale: Scale, seed: int) -> Run:
    """Return one iteration of a training run of its own, on examples that stay on the device."""
    model, x = scale.build(seed), scale.inputs(BATCH)
    y = torch.randint(0, 10, (BATCH,), device=scale.device)
    penalty = penalties.load("integrated_tl1", lam=1e-5, a=0.1)
    optimizer = ProximalSGD(model, penalty, lr=0.05, example_inputs=x[:2])

    def iterate() -> None:
        optimizer.zero_grad(set_to_none=False)
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return iterate


def _rate(scale: Scale, turns: list[Run], streams: list[torch.cuda.Stream]) -> float:
    for run_once in turns:
        run_once()
    _wait(scale)
    began = time.perf_counter()
    for _ in range(scale.iterations):
        for i, run_once in enumerate(turns):
            if streams:
                with torch.cuda.stream(streams[i]):
                    run_once()
            else:
                run_once()
    _wait(scale)
    return scale.iterations * len(turns) / (time.perf_counter() - began)


def _by_processes(scale: Scale, count: int, seconds: float) -> float:
    """Let each run have a process; they begin together, and the last to end counts."""
    # One process imports all that they need, and no card is touched before they part.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    gate, took = context.Barrier(count), context.Queue()
    runs = [
        context.Process(target=_alone, args=(scale, seed, gate, took, seconds))
        for seed in range(count)
    ]
    try:
        for one in runs:
            one.start()
        slowest = max(took.get(timeout=seconds) for _ in runs)
    finally:
        for one in runs:
            one.kill()
            one.join()
    return scale.iterations * count / float(slowest)


def _alone(scale: Scale, seed: int, gate: Any, took: Any, seconds: float) -> None:
    torch.set_num_threads(1)
    aside.follow()
    iterate = _iteration(scale, seed)
    for _ in range(WARM):
        iterate()
    _wait(scale)
    gate.wait(seconds)
    began = time.perf_counter()
    for _ in range(scale.iterations):
        iterate()
    _wait(scale)
    took.put(time.perf_counter() - began)
    took.close()
    took.join_thread()


def _wait(scale: Scale) -> None:
    if scale.card:
        torch.cuda.synchronize()
