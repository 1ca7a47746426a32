"""Every formula on the device against float64 on the CPU: passes over weights, and proxes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tl1bench import penalties
from tl1bench.kernels import card, tl1
from tl1bench.kernels.card import Move, Point
from tl1bench.kernels.momentum import Momentum
from tools.gpu_proof.rows import most
from tools.gpu_proof.scale import Row

SHAPES = ((1, 5000, 1), (1, 6147, 3), (257, 1, 1), (130, 129, 129), (33, 250, 50), (5, 36, 4))
SHAPES_A = (1e-6, 1e-3, 0.01, 0.1, 1.0, 100.0, 1e6)
STEPS = (1e-30, 1e-12, 1e-7, 1e-4, 1e-2, 0.3, 10.0, 1e6, 1e12)
EPS = torch.finfo(torch.float32).eps
GROUPS, MEMBERS = 400, 9


def _spread(shape: tuple[int, ...], seed: int, low: float, high: float) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    size = 10 ** (low + (high - low) * torch.rand(shape, generator=draw))
    return size * torch.randint(-1, 2, shape, generator=draw)


def passes(device: torch.device) -> Iterator[Row]:
    """Check the two passes over weights: transformed ℓ1, and momentum with squares of groups."""
    worst = 0.0
    for a in SHAPES_A:
        for tau in STEPS:
            near = tl1.threshold(a, tau) * (1 + _spread((900,), 2, -7, 0))
            z = torch.cat([_spread((800,), 1, -12, 8), near]).view(1, -1)
            expected = penalties.load("tl1", a=a).prox(z.double(), tau)
            x = z.clone().to(device)
            card.second_pass_(x, torch.ones(1, device=device), Point.of(tl1.packed(a, tau)))
            shrinkage = (z.double() - expected).abs()
            allowed = 2 * EPS * z.abs().double() + 1e-5 * shrinkage + 1e-45
            worst = max(worst, float(((x.cpu().double() - expected).abs() / allowed).max()))
    yield most("transformed l1 over a and tau, in units of what is allowed", worst, 1.0)
    worst = 0.0
    for rows, n, groups in SHAPES:
        w, g, v = (_spread((rows, n), seed, -3, 0) for seed in range(3))
        moved = w.double() - 0.3 * (0.9 * v.double() + 0.1 * (g.double() + 0.01 * w.double()))
        squares = moved.square().sum(0).view(groups, -1).sum(1)
        x = w.clone().to(device)
        move = Move(g.to(device), v.to(device), Momentum(0.9, 0.1, 0.01, 0.3))
        found = card.first_pass_(x, groups, move)
        worst = max(worst, float((x.cpu() - moved).abs().max()), _relative(found.cpu(), squares))
    yield most("momentum, move and squares of groups", worst, 1e-5)


def _relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs() / expected.abs().clamp_min(1e-12)).max())


def formulas(device: torch.device) -> Iterator[Row]:
    """Check the prox of every penalty, on groups of weights from 1e-4 to 10 in size."""
    z = _spread((GROUPS, MEMBERS), 3, -4, 1)
    for name in penalties.names():
        penalty, off = penalties.load(name, lam=1.0), []
        for step in (1e-3, 0.03, 0.5):
            found = penalty.prox(z.to(device), step).cpu().double()
            expected = penalty.prox(z.double(), step)
            off.append((found - expected).abs() > 1e-5 * (z.abs() + step))
        # Where a threshold lies between two roundings a group may go to zero here alone.
        share = float(torch.stack(off).double().mean())
        yield most(f"prox of {name}: share of weights off", share, 0.005)
