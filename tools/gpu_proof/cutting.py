"""Cutting on the card: a network and its optimiser made smaller in place, and widths in tiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

import tl1bench as tl
from tl1bench.compaction import Compactor
from tl1bench.neurons import Anatomy
from tl1bench.optimizers import ProximalOptimizer
from tl1bench.training.shrinker import Shrinker
from tools.gpu_proof.clock import Run, captured, microseconds
from tools.gpu_proof.scale import Proof, Row, Scale

DEPTH, BATCH, KEPT = 4, 1024, 0.27
ALIGNS, IN_PLACE = (1, 8, 64), 8
DTYPES = (torch.float32, torch.bfloat16)


def run(proof: Proof) -> Iterator[Row]:
    """Yield what cutting in place brings, then latencies of compact networks by alignment."""
    yield from _in_place(proof.scale)
    yield from _aligned(proof.scale)


def _thin(scale: Scale) -> nn.Sequential:
    """Return a network of wide layers of whose hidden units few are read."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers += [nn.Linear(scale.layer, scale.layer), nn.ReLU()]
    network = nn.Sequential(*layers[:-1]).to(scale.device)
    with torch.no_grad():
        for layer in layers[2::2]:
            assert isinstance(layer, nn.Linear)
            layer.weight[:, _kept(scale) :] = 0
    return network


def _kept(scale: Scale) -> int:
    return int(KEPT * scale.layer) | 1  # an odd number: no tile fits


def _in_place(scale: Scale) -> Iterator[Row]:
    network = _thin(scale)
    x = torch.rand(BATCH, scale.layer, device=scale.device)
    optimizer = tl.ProximalSGD(
        network, tl.penalties.load("integrated_tl1", lam=0.0, a=0.1), lr=0.0, example_inputs=x[:2]
    )
    units = Anatomy.of(network, x[:2], "outgoing").units
    shrinker = Shrinker(network, optimizer, x[:2], units, align=IN_PLACE)
    cuts: dict[str, Callable[[], None] | None] = {
        "before cutting in place": None,
        f"cut in place to multiples of {IN_PLACE}": shrinker.shrink,
        "cut in place exactly": shrinker.finish,
    }
    for what, cut in cuts.items():
        row: Row = {"what": what}
        if cut is not None:
            began = time.perf_counter()
            cut()
            _settle(scale)
            row["cut_ms"] = 1000 * (time.perf_counter() - began)
        row["weights"] = sum(p.numel() for p in network.parameters())
        iterate = _iteration(network, optimizer, x)
        row["iteration_us"] = microseconds(iterate, scale.device, scale.rounds)
        if scale.card:
            row["graph_us"] = microseconds(captured(iterate), scale.device, scale.rounds)
        optimizer.zero_grad()
        del iterate
        _settle(scale)
        held = torch.cuda.memory_allocated() if scale.card else 0
        row["held_mib"] = held / 2**20
        yield row


def _iteration(network: nn.Module, optimizer: ProximalOptimizer, x: torch.Tensor) -> Run:
    def iterate() -> None:
        optimizer.zero_grad(set_to_none=False)
        network(x).square().mean().backward()
        optimizer.step()

    return iterate


def _settle(scale: Scale) -> None:
    if scale.card:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def _aligned(scale: Scale) -> Iterator[Row]:
    dense = _thin(scale).eval()
    compactor = Compactor(dense, torch.rand(2, scale.layer, device=scale.device))
    networks: dict[str, nn.Module] = {"dense": dense}
    for align in ALIGNS:
        networks[f"in multiples of {align}"] = compactor.compact(align=align).model
    for name, network in networks.items():
        row: Row = {"what": name, "weights": sum(p.numel() for p in network.parameters())}
        for dtype in DTYPES:
            row[f"{str(dtype).removeprefix('torch.')}_us"] = _forward_us(scale, network, dtype)
        yield row


def _forward_us(scale: Scale, network: nn.Module, dtype: torch.dtype) -> float:
    x = torch.rand(BATCH, scale.layer, device=scale.device, dtype=dtype)
    network.to(dtype)

    @torch.no_grad()
    def once() -> object:
        return network(x)

    run_once = captured(once) if scale.card else once
    return microseconds(run_once, scale.device, scale.rounds)
