"""Training loops on the device: a killed path goes on bit for bit; an epoch hardly waits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

import tl1bench as tl
from tl1bench.training import Examples
from tl1bench.training.augmentation import Augmentation
from tl1bench.training.epochs import Epochs
from tools.gpu_proof.rows import most, row
from tools.gpu_proof.scale import Row

COUNT, BATCH, STEPS = 64, 16, 3
# Of an epoch: its order and its shifts go to the card, its loss comes back.
WAITS = 3


class _KilledError(BaseException):
    """What a path cannot catch."""


def _examples(device: torch.device) -> Examples:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (COUNT, 1, 6, 6), generator=draw, dtype=torch.uint8)
    return Examples(x.to(device), torch.arange(COUNT, device=device) % 3, 1 / 255)


def _network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    # Convolutions of a card may add up in another order each time.
    layers = nn.Flatten(), nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3)
    return nn.Sequential(*layers).to(device)


def _walked(device: torch.device, folder: Path | None, die_at: int = 0) -> nn.Module:
    epochs, model, done = Epochs(_examples(device), batch=BATCH), _network(device), 0

    def train_epoch(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        nonlocal done
        done += 1
        if done == die_at:
            raise _KilledError
        return epochs(network, optimizer)

    # No branch: what is asked is whether the path itself goes on.
    tl.path(
        model, tl.penalties.load("integrated_tl1", a=0.1), train_epoch=train_epoch,
        evaluate=lambda network: 0.0, example_inputs=epochs.examples.batch(torch.arange(4))[0],
        growth=3.0, epochs=1, branch_below=1e-9, steps=STEPS, folder=folder, align=4,
    )  # fmt: skip
    return model


def resumed(device: torch.device) -> Iterator[Row]:
    """Walk a path in one go, and one that is killed on its way and walked to its end."""
    whole = _walked(device, None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _walked(device, Path(folder), die_at=STEPS)
            killed = False
        except _KilledError:
            killed = True
        again = _walked(device, Path(folder))
    pairs = list(zip(whole.parameters(), again.parameters(), strict=True))
    same = killed and all(torch.equal(p, q) for p, q in pairs)
    zeros = sum(int((p == 0).sum()) for p in whole.parameters())
    yield row("a path that is killed goes on bit for bit", same, True, same)
    yield row("zeros that it has made", zeros, "some", zeros > 0)


def waits(device: torch.device) -> Iterator[Row]:
    """Count how often an epoch waits for the card, shifted and mirrored images and all."""
    if device.type != "cuda":
        return
    model = _network(device)
    penalty = tl.penalties.load("integrated_tl1", lam=1e-4, a=0.1)
    examples = _examples(device)
    optimizer = tl.ProximalSGD(
        model, penalty, lr=0.1, example_inputs=examples.batch(torch.arange(4))[0]
    )
    epochs = Epochs(examples, batch=BATCH, augmentation=Augmentation(1, flip=True))
    epochs(model, optimizer)
    torch.set_warn_always(True)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            epochs(model, optimizer)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.set_warn_always(False)
    found = sum("synchroniz" in str(one.message) for one in told)
    yield most(f"an epoch of {COUNT // BATCH} iterations waits so often", found, WAITS)
