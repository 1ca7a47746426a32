"""One of two processes that train together: `two_processes.py RANK FILE`; prints what it found."""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn import functional

from tl1bench import optimizers, penalties
from tl1bench.errors import ConfigError

RATES = {"proximal_adam": 0.01, "rmda": 0.05}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    # Seven rows over two processes: shards of different sizes.
    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for _ in range(12):
        x, y = torch.randn(16, 6, generator=draw), torch.randint(0, 3, (16,), generator=draw)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def data_parallel(name: str, rank: int) -> list[str]:
    """Train on different samples in each process; return the weights, exactly."""
    model = nn.parallel.DistributedDataParallel(network())
    penalty = penalties.load("integrated_tl1", lam=0.02)
    x = torch.zeros(2, 6)
    optimizer = optimizers.kind(name)(model, penalty, lr=RATES.get(name, 0.1), example_inputs=x)
    train(model, optimizer, seed=rank)
    return [p.detach().numpy().tobytes().hex() for p in model.parameters()]


def sharded(name: str, tensor_parallel: bool = False) -> float:
    """Train sharded and whole on the same samples; return how far the weights are apart."""
    whole, shards = network(), network()
    mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
    if tensor_parallel:  # the second layer stays whole beside it
        parallelize_module(shards[0], mesh, ColwiseParallel(output_layouts=Replicate()))
    else:
        for layer in (shards[0], shards[2], shards):
            fully_shard(layer, mesh=mesh)
    penalty = penalties.load("tl1", lam=0.02, a=1.0)
    made = []
    for model in (whole, shards):
        made.append(optimizers.kind(name)(model, penalty, lr=RATES.get(name, 0.1)))
        train(model, made[-1], seed=0)
    values = [float(optimizer.penalty_value()) for optimizer in made]
    made[1].freeze_zeros()
    train(shards, made[1], seed=1)
    made[0].freeze_zeros()
    train(whole, made[0], seed=1)
    apart = abs(values[0] - values[1])
    for p, shard in zip(whole.parameters(), shards.parameters(), strict=True):
        q = shard.full_tensor() if isinstance(shard, DTensor) else shard
        apart = max(apart, float((p - q).detach().abs().max()))
        assert torch.equal(p == 0, q == 0)
    assert (whole[0].weight == 0).any()
    return apart


def refused(name: str) -> str:
    """Return what is said to a group penalty on shards."""
    model = network()
    fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (2,)))
    try:
        optimizers.kind(name)(
            model, penalties.load("group_lasso"), lr=0.1, example_inputs=torch.zeros(2, 6)
        )
    except ConfigError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    rank = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    found = {
        name: {
            "weights": data_parallel(name, rank),
            "apart": max(sharded(name), sharded(name, tensor_parallel=True)),
            "refused": refused(name),
        }
        for name in optimizers.names()
    }
    dist.barrier()
    sys.stdout.write(json.dumps(found) + "\n")
    dist.destroy_process_group()
