"""Weights of which a part is dead: what training with a penalty leaves, drawn at random."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

SHARE = 0.4
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def randomise(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Give a network weights as after training, whatever it begins with; it ends in eval mode.

    Zeros and ones that layers begin with, scales of 1e-6 among them, would hide what a branch
    computes. Statistics are those of data: with made-up ones deep networks amplify rounding a
    million times.
    """
    for parameter in network.parameters():
        first = parameter.flatten()[0] if parameter.numel() else parameter
        if parameter.numel() < 2 or bool((parameter != first).any()):
            continue
        if float(first) == 0:
            parameter.normal_(0, 0.1)
        else:
            parameter.uniform_(0.5, 1.5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            nn.init.kaiming_normal_(module.weight)
    norms = [module for module in network.modules() if isinstance(module, _BATCH_NORMS)]
    network.eval()
    for norm in norms:
        norm.train().momentum = 1.0
    if norms:
        network(*(torch.cat([x] * 4) + torch.randn(8, *x.shape[1:]) for x in inputs))
    network.eval()


@torch.no_grad()
def kill(network: nn.Module) -> int:
    """Set 40 % of the units of every layer to zero, in turn in one of three ways.

    `units`: the row, its bias and the BatchNorm behind it; `constants`: the row alone, so that bias
    and shift stay behind; `readers`: everything in the next layers' columns that reads one input.
    In a linear layer units die in runs of a twelfth or an eighth, heads of attention among them.
    The last layer keeps its rows.

    Returns
    -------
    int
        How many weights are zero.
    """
    draw = torch.Generator().manual_seed(1)
    layers = [m for m in network.modules() if _sides(m) is not None]
    behind = _norms_behind(network)
    for place, layer in enumerate(layers):
        rows, columns = _sides(layer) or (0, 0)
        weight, way = layer.weight, ("units", "constants", "readers")[place % 3]
        side = columns if way == "readers" else rows
        if weight.shape[side] < 2 or (side == rows and place == len(layers) - 1):
            continue
        dead = _dead(weight.shape[side], isinstance(layer, nn.Linear), draw)
        weight[(slice(None),) * side + (dead,)] = 0
        norm = behind.get(layer)
        if way == "units":
            for vector in (layer.bias, *((norm.weight, norm.bias) if norm is not None else ())):
                if vector is not None and len(vector) == len(dead):
                    vector[dead] = 0
    return sum(int((p == 0).sum()) for p in network.parameters())


def _sides(layer: nn.Module) -> tuple[int, int] | None:
    """Return the dimensions of a layer's units and of its inputs."""
    if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return 0, 1
    if type(layer).__name__ == "Conv1D":  # transformers' linear layer, transposed
        return 1, 0
    return None


def _dead(count: int, runs: bool, draw: torch.Generator) -> Tensor:
    pieces = next((n for n in (12, 8) if runs and count % n == 0), count)
    return (torch.rand(pieces, generator=draw) < SHARE).repeat_interleave(count // pieces)


def _norms_behind(network: nn.Module) -> dict[nn.Module, nn.Module]:
    """Return for a layer the BatchNorm that its network lists behind it, if that is as wide."""
    modules = [m for m in network.modules() if _sides(m) or isinstance(m, _BATCH_NORMS)]
    return {
        layer: norm
        for layer, norm in itertools.pairwise(modules)
        if _sides(layer) and isinstance(norm, _BATCH_NORMS) and norm.affine
        and norm.num_features == layer.weight.shape[0]
    }  # fmt: skip
