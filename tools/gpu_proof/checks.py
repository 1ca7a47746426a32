"""Is it right? Every pass, penalty and optimiser on the device against float64 on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tl1bench import compact, models, optimizers, penalties
from tl1bench.errors import ConfigError
from tl1bench.kernels import card, tl1
from tl1bench.kernels.card import Move, Point
from tl1bench.kernels.momentum import Momentum
from tl1bench.optimizers import ProximalOptimizer
from tools.gpu_proof.clock import captured
from tools.gpu_proof.scale import Proof, Row

SHAPES = ((1, 5000, 1), (1, 6147, 3), (257, 1, 1), (130, 129, 129), (33, 250, 50), (5, 36, 4))
SHAPES_A = (1e-6, 1e-3, 0.01, 0.1, 1.0, 100.0, 1e6)
STEPS = (1e-30, 1e-12, 1e-7, 1e-4, 1e-2, 0.3, 10.0, 1e6, 1e12)
EPS = torch.finfo(torch.float32).eps
NETWORK_STEPS = 3


def run(proof: Proof) -> list[Row]:
    """Return a row a check: what was found, and what is allowed."""
    device = proof.scale.device
    checks: list[Callable[[torch.device], Iterator[Row]]] = [
        _passes, _optimisers, _again, _graphs, _mixed, _compaction,
    ]  # fmt: skip
    rows: list[Row] = []
    for check in checks:
        try:
            rows += check(device)
        except Exception as error:  # one that fails must not hide the others
            rows.append(_row(check.__name__, f"{type(error).__name__}: {error}"[:300], 0, False))
    return rows


def _row(what: str, found: object, allowed: object, held: bool) -> Row:
    return {"what": what.strip("_"), "found": found, "allowed": allowed, "held": held}


def _most(what: str, found: float, allowed: float) -> Row:
    return _row(what, found, allowed, found <= allowed)


def _spread(shape: tuple[int, ...], seed: int, low: float, high: float) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    size = 10 ** (low + (high - low) * torch.rand(shape, generator=draw))
    return size * torch.randint(-1, 2, shape, generator=draw)


def _passes(device: torch.device) -> Iterator[Row]:
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
    yield _most("transformed l1 over a and tau, in units of what is allowed", worst, 1.0)
    worst = 0.0
    for rows, n, groups in SHAPES:
        w, g, v = (_spread((rows, n), seed, -3, 0) for seed in range(3))
        moved = w.double() - 0.3 * (0.9 * v.double() + 0.1 * (g.double() + 0.01 * w.double()))
        squares = moved.square().sum(0).view(groups, -1).sum(1)
        x = w.clone().to(device)
        move = Move(g.to(device), v.to(device), Momentum(0.9, 0.1, 0.01, 0.3))
        found = card.first_pass_(x, groups, move)
        worst = max(worst, float((x.cpu() - moved).abs().max()), _relative(found.cpu(), squares))
    yield _most("momentum, move and squares of groups", worst, 1e-5)


def _relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs() / expected.abs().clamp_min(1e-12)).max())


def _network(device: torch.device, dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU(),
        nn.Conv2d(6, 6, 1, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(96, 7), nn.ReLU(), nn.Linear(7, 3),
    )  # fmt: skip
    return model.to(device, dtype)


def _made(name: str, penalty: str, model: nn.Module) -> ProximalOptimizer | None:
    p = next(model.parameters())
    x = torch.zeros(2, 2, 8, 8, device=p.device, dtype=p.dtype)
    try:
        return optimizers.kind(name)(
            model, penalties.load(penalty, lam=0.01), lr=0.05, example_inputs=x, weight_decay=1e-4
        )
    except ConfigError:  # no prox in a diagonal metric
        return None


def _given(model: nn.Module, turn: int) -> None:
    """Give every parameter the gradient of step `turn`, the same for all devices and types."""
    draw = torch.Generator().manual_seed(turn)
    for p in model.parameters():
        p.grad = 0.1 * torch.randn(p.shape, generator=draw).to(p)


@contextmanager
def _watched(device: torch.device) -> Iterator[None]:
    """Make it an error to wait for a card."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _optimisers(device: torch.device) -> Iterator[Row]:
    for name in optimizers.names():
        for penalty in penalties.names():
            there, here = (
                _network(device, torch.float32),
                _network(torch.device("cpu"), torch.float64),
            )
            made = [_made(name, penalty, model) for model in (there, here)]
            waited = ""
            for turn in range(NETWORK_STEPS):
                for optimizer, model in zip(made, (there, here), strict=True):
                    if optimizer is None:
                        continue
                    _given(model, turn)
                    try:
                        with _watched(device if model is there else torch.device("cpu")):
                            optimizer.step()
                    except RuntimeError as error:
                        waited = str(error)[:200]
            if made[0] is None or made[1] is None:
                continue
            # Where a threshold lies between two roundings a weight may go to zero here alone.
            far = [
                ((p.detach().cpu().double() - q.detach()).abs() > 1e-4 * (1 + q.detach().abs()))
                for p, q in zip(there.parameters(), here.parameters(), strict=True)
            ]
            share = float(torch.cat([f.flatten() for f in far]).double().mean())
            yield _most(f"{name}, {penalty}: share of weights off", share, 0.005)
            if device.type == "cuda":
                yield _row(
                    f"{name}, {penalty}: waits for the card", waited or "no", "no", not waited
                )


def _again(device: torch.device) -> Iterator[Row]:
    models_ = [_network(device, torch.float32) for _ in range(2)]
    made = [_made("proximal_sgd", "integrated_tl1", model) for model in models_]
    assert made[0] is not None
    assert made[1] is not None
    for turn in range(3):
        _given(models_[0], turn)
        made[0].step()
    models_[1].load_state_dict(copy.deepcopy(models_[0].state_dict()))
    made[1].load_state_dict(copy.deepcopy(made[0].state_dict()))
    for turn in range(3, 6):
        for model, optimizer in zip(models_, made, strict=True):
            _given(model, turn)
            optimizer.step()  # type: ignore[union-attr]
    yield _row("resumed bit for bit", _equal(*models_), True, _equal(*models_))


def _equal(one: nn.Module, other: nn.Module) -> bool:
    pairs: Sequence[tuple[Tensor, Tensor]] = list(
        zip(one.parameters(), other.parameters(), strict=True)
    )
    return all(torch.equal(p, q) for p, q in pairs)


def _graphs(device: torch.device) -> Iterator[Row]:
    if device.type != "cuda":
        return
    eager, replayed = (_network(device, torch.float32) for _ in range(2))
    made = [_made("proximal_sgd", "integrated_tl1", model) for model in (eager, replayed)]
    for model in (eager, replayed):
        _given(model, 0)
    assert made[0] is not None
    assert made[1] is not None
    replay = captured(made[1].step)  # three steps to warm up
    for _ in range(3):
        made[0].step()
    for _ in range(4):
        made[0].step()
        replay()
    torch.cuda.synchronize()
    yield _row("a CUDA graph is the step, bit for bit", _equal(eager, replayed), True,
               _equal(eager, replayed))  # fmt: skip


def _mixed(device: torch.device) -> Iterator[Row]:
    """Train under autocast, float16 with a scaler on a card: finite, and zeros exact."""
    for dtype in (torch.bfloat16, torch.float16) if device.type == "cuda" else (torch.bfloat16,):
        model = _network(device, torch.float32)
        optimizer = _made("proximal_sgd", "integrated_tl1", model)
        assert optimizer is not None
        scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        draw = torch.Generator().manual_seed(0)
        for _ in range(NETWORK_STEPS):
            x = torch.randn(8, 2, 8, 8, generator=draw).to(device)
            optimizer.zero_grad()
            with torch.autocast(device.type, dtype):
                loss = model(x).float().square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        finite = all(bool(p.isfinite().all()) for p in model.parameters())
        zeros = sum(int((p == 0).sum()) for p in model.parameters())
        yield _row(
            f"autocast in {dtype}: finite, zeros", [finite, zeros], "some", finite and zeros > 0
        )


def _compaction(device: torch.device) -> Iterator[Row]:
    model = models.build("lenet5", (1, 28, 28), 10, seed=0).to(device).eval()
    with torch.no_grad():
        for p in model.parameters():
            p[: len(p) // 2] = 0
    x = torch.rand(16, 1, 28, 28, device=device)
    small = compact(model, x)
    with torch.no_grad():
        apart = float((small.model(x) - model(x)).abs().max())
    yield _most("a network compacted on the device differs by", apart, 1e-5)
    left = small.report.weights_after / small.report.weights_before
    yield _most("share of its weights that are left", left, 0.6)
