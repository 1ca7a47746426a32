"""Several small runs at once on one card: in turn, and as CUDA graphs on streams of their own."""

from __future__ import annotations

import time

import torch
from torch.nn import functional

from tl1bench import ProximalSGD, penalties
from tools.gpu_proof.clock import Run, captured, peak_mib
from tools.gpu_proof.scale import Proof, Row, Scale

BATCH = 128


def run(proof: Proof) -> list[Row]:
    """Return iterations a second of all runs together, for each number of runs."""
    scale, rows = proof.scale, []
    for count in scale.together:
        row: Row = {"what": f"{count} runs of {scale.network}", "runs": count}
        row["in_turn_per_s"] = _rate(scale, [_iteration(scale, i) for i in range(count)], [])
        if scale.card:
            streams = [torch.cuda.Stream() for _ in range(count)]
            turns = [captured(_iteration(scale, i), s) for i, s in enumerate(streams)]
            row["graphs_per_s"] = _rate(scale, turns, streams)
        row["peak_mib"] = peak_mib(scale.device)
        rows.append(row)
    return rows


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


def _wait(scale: Scale) -> None:
    if scale.card:
        torch.cuda.synchronize()
