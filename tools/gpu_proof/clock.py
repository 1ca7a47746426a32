"""Time on the device, and CUDA graphs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

Run = Callable[[], object]


def microseconds(run: Run, device: torch.device, rounds: int, calls: int = 5) -> float:
    """Return the median over rounds of one call's time, on the device's own clock."""
    run()
    taken = [_on_card(run, calls) if device.type == "cuda" else _here(run) for _ in range(rounds)]
    return statistics.median(taken)


def _on_card(run: Run, calls: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return float(1000 * begin.elapsed_time(end) / calls)


def _here(run: Run) -> float:
    began = time.perf_counter()
    run()
    return 1e6 * (time.perf_counter() - began)


def captured(run: Run, stream: torch.cuda.Stream | None = None) -> Run:
    """Return what replays `run`, which waits for nothing, as one CUDA graph."""
    side = stream or torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        run()

    def again(held: Run = run) -> None:  # the graph reads and writes what `run` holds
        del held
        graph.replay()

    return again


def peak_mib(device: torch.device) -> float:
    """Return the most memory that tensors had on the card since this was last asked."""
    if device.type != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    return peak
