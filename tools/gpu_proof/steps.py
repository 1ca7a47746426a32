"""A step of the optimiser against torch's fused SGD and against what memory allows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn

from tl1bench import ProximalSGD, penalties
from tools.gpu_proof.clock import Run, captured, microseconds
from tools.gpu_proof.scale import Proof, Row, Scale

PENALTIES = ("none", "l1", "tl1", "group_lasso", "sparse_group_lasso", "integrated_tl1")
# Pass one reads weights, gradients and momentum and writes two of them; pass two reads and writes.
BYTES_SGD, BYTES_TWO_PASSES = 20, 28


def run(proof: Proof) -> Iterator[Row]:
    """Yield a row for each network and penalty."""
    scale = proof.scale
    rate = bandwidth(scale)
    yield {"what": "copy", "gb_per_s": rate / 1e9}
    for name, make in _networks(scale).items():
        yield from _table(scale, name, make, rate)


def bandwidth(scale: Scale) -> float:
    """Return bytes a second, read and written, of a large copy."""
    source = torch.empty(scale.copied, device=scale.device)
    target = torch.empty_like(source)
    took = microseconds(lambda: target.copy_(source), scale.device, scale.rounds)
    return 2 * 4 * scale.copied / (took / 1e6)


def _networks(scale: Scale) -> dict[str, Callable[[], nn.Module]]:
    def large() -> nn.Module:
        layers = [nn.Linear(scale.layer, scale.layer) for _ in range(scale.layers)]
        return nn.Sequential(*layers)

    return {"large": large, scale.network: scale.build}


def _table(scale: Scale, network: str, make: Callable[[], nn.Module], rate: float) -> Iterator[Row]:
    torch.manual_seed(0)
    base = make().to(scale.device)
    count = sum(p.numel() for p in base.parameters())
    sgd = torch.optim.SGD(
        copy.deepcopy(base).parameters(), lr=1e-4, momentum=0.9, dampening=0.9, fused=True
    )
    reference = _row(scale, network, "torch fused SGD", sgd, 1e6 * BYTES_SGD * count / rate)
    yield {**reference, "weights": count}
    large = torch.rand(2, scale.layer, device=scale.device)
    example = scale.inputs(2) if network == scale.network else large
    for name in PENALTIES:
        ours = ProximalSGD(
            copy.deepcopy(base), penalties.load(name, lam=1e-6), lr=1e-4, example_inputs=example
        )
        passes = BYTES_SGD if name in ("none", "l1", "tl1") else BYTES_TWO_PASSES
        row = _row(scale, network, name, ours, 1e6 * passes * count / rate)
        for kind in ("eager_us", "graph_us"):
            if row.get(kind):
                row[f"{kind[:-3]}_to_sgd"] = row[kind] / reference[kind]
                row[f"{kind[:-3]}_to_floor"] = row[kind] / row["floor_us"]
        yield row


def _row(
    scale: Scale, network: str, what: str, optimizer: torch.optim.Optimizer, floor: float
) -> Row:
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = 1e-3 * torch.randn_like(p)
    step: Run = optimizer.step
    row: Row = {"what": f"{network}, {what}", "floor_us": floor}
    row["eager_us"] = microseconds(step, scale.device, scale.rounds)
    if scale.card:
        row["graph_us"] = microseconds(captured(step), scale.device, scale.rounds)
    return row
