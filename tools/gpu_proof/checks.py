"""Is it right? Every pass, penalty and optimiser on the device against float64 on the CPU."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tl1bench import compact, models, optimizers, penalties
from tl1bench.errors import ConfigError
from tl1bench.optimizers import ProximalOptimizer
from tools.gpu_proof import loops, proxes
from tools.gpu_proof.clock import captured
from tools.gpu_proof.rows import most, row
from tools.gpu_proof.scale import Proof, Row

NETWORK_STEPS = 3


def run(proof: Proof) -> Iterator[Row]:
    """Yield a row a check: what was found, and what is allowed."""
    device = proof.scale.device
    # The longest last: what is before it has been told when time is over.
    checks: list[Callable[[torch.device], Iterator[Row]]] = [
        proxes.passes, proxes.formulas, _again, _graphs, loops.resumed, loops.waits, _mixed,
        _compaction, _channels_last, _optimisers, _compiled,
    ]  # fmt: skip
    for check in checks:
        try:
            yield from check(device)
        except Exception as error:  # one that fails must not hide the others
            yield row(check.__name__, f"{type(error).__name__}: {error}"[:300], 0, False)


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
        p.grad = torch.empty_like(p).copy_(0.1 * torch.randn(p.shape, generator=draw))


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
            yield from _compared(device, name, penalty)


def _channels_last(device: torch.device) -> Iterator[Row]:
    """Train as the pipeline does where images go in."""
    for penalty in ("tl1", "group_lasso", "integrated_tl1"):
        yield from _compared(device, "proximal_sgd", penalty, torch.channels_last)


def _compared(
    device: torch.device,
    name: str,
    penalty: str,
    layout: torch.memory_format = torch.contiguous_format,
) -> Iterator[Row]:
    cpu = torch.device("cpu")
    there, here = _network(device, torch.float32), _network(cpu, torch.float64)
    there.to(memory_format=layout)
    ours, theirs = (_made(name, penalty, model) for model in (there, here))
    if ours is None or theirs is None:
        return
    what, waited = f"{name}, {penalty}", ""
    if layout == torch.channels_last:
        what += ", channels last"
    for turn in range(NETWORK_STEPS):
        for optimizer, model, where in ((ours, there, device), (theirs, here, cpu)):
            _given(model, turn)
            try:
                with _watched(where):
                    optimizer.step()
            except RuntimeError as error:
                waited = str(error)[:200]
    # Where a threshold lies between two roundings a weight may go to zero here alone.
    far = [
        ((p.detach().cpu().double() - q.detach()).abs() > 1e-4 * (1 + q.detach().abs()))
        for p, q in zip(there.parameters(), here.parameters(), strict=True)
    ]
    share = float(torch.cat([f.flatten() for f in far]).double().mean())
    yield most(f"{what}: share of weights off", share, 0.005)
    if device.type == "cuda":
        yield row(f"{what}: waits for the card", waited or "no", "no", not waited)


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
    yield row("resumed bit for bit", _equal(*models_), True, _equal(*models_))


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
    yield row("a CUDA graph is the step, bit for bit", _equal(eager, replayed), True,
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
        yield row(
            f"autocast in {dtype}: finite, zeros", [finite, zeros], "some", finite and zeros > 0
        )


def _compiled(device: torch.device) -> Iterator[Row]:
    """Train with network and step compiled, and with neither."""
    plain, compiled = (_network(device, torch.float32) for _ in range(2))
    made = [_made("proximal_sgd", "integrated_tl1", model) for model in (plain, compiled)]
    assert made[0] is not None
    assert made[1] is not None
    backend = "inductor" if device.type == "cuda" else "eager"
    x = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        faster = torch.compile(compiled, backend=backend)
        made[1].step = torch.compile(made[1].step, backend=backend)  # type: ignore[method-assign]
        for _ in range(NETWORK_STEPS):
            for model, optimizer in ((plain, made[0]), (faster, made[1])):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
    pairs = zip(plain.parameters(), compiled.parameters(), strict=True)
    apart = max(float((p - q).detach().abs().max()) for p, q in pairs)
    yield most("weights trained with network and step compiled are apart by", apart, 1e-4)


def _compaction(device: torch.device) -> Iterator[Row]:
    model = models.build("lenet5", (1, 28, 28), 10, seed=0).to(device).eval()
    with torch.no_grad():
        for p in model.parameters():
            p[: len(p) // 2] = 0
    x = torch.rand(16, 1, 28, 28, device=device)
    small = compact(model, x)
    with torch.no_grad():
        apart = float((small.model(x) - model(x)).abs().max())
    yield most("a network compacted on the device differs by", apart, 1e-5)
    left = small.report.weights_after / small.report.weights_before
    yield most("share of its weights that are left", left, 0.6)
