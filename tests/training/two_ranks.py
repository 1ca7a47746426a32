"""One of two processes that walk one path together: `two_ranks.py RANK FILE`; prints its points."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import tl1bench as tl

BATCH, ACCUMULATED = 16, 2


def walked(rank: int) -> dict[str, Any]:
    """Walk a path on this process's half of the data; gradients are averaged over both."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 12, generator=draw)
    y = torch.randint(0, 4, (512,), generator=draw)
    x = centres[y] + 0.4 * torch.randn(512, 12, generator=draw)
    mine = slice(rank, None, 2)

    def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        together = DistributedDataParallel(model)  # anew: the network shrinks between epochs
        total = torch.zeros(())
        turns = torch.randperm(256)[:224].split(BATCH * ACCUMULATED)
        for rows in turns:
            optimizer.zero_grad()
            for part in rows.split(BATCH):
                loss = functional.cross_entropy(together(x[mine][part]), y[mine][part])
                (loss / ACCUMULATED).backward()
                total += loss.detach()
            optimizer.step()
        return float(total) / len(turns)

    def evaluate(model: nn.Module) -> float:
        return 100 * float((model(x).argmax(1) != y).float().mean())

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4)
    )
    points = tl.path(
        model, tl.penalties.load("integrated_tl1", a=0.1), train_epoch=train_epoch,
        evaluate=evaluate, example_inputs=x[:2], lr=0.2, growth=1.5, steps=4, branch_epochs=2,
        margin=50.0, dense_epochs=4,
    )  # fmt: skip
    return {
        "levels": [p.level for p in points],
        "errors": [p.error for p in points],
        "architectures": [p.architecture for p in points],
        "nonzero_weights": [p.nonzero_weights for p in points],
        "weights": [p.weights for p in points],
        "states": [_digest(p.state) for p in points],
        "losses": [p.loss for p in points],
    }


def _digest(state: Any) -> str:
    parts = b"".join(name.encode() + t.numpy().tobytes() for name, t in state.items())
    return hashlib.sha256(parts).hexdigest()


if __name__ == "__main__":
    rank = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    found = walked(rank)
    dist.barrier()
    sys.stdout.write(json.dumps(found) + "\n")
    dist.destroy_process_group()
