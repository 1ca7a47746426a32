"""Networks, one file each: `build(input_shape, classes, **options)` returns a fresh module.

A network whose forward reads no literal channel count can also be compacted while it trains.
Torchvision's classification networks are reached as `torchvision/<name>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tl1bench import plugins
from tl1bench.errors import ConfigError, needed_by


def names() -> tuple[str, ...]:
    """Return the names of the networks in this folder."""
    return plugins.module_names("models")


def build(
    name: str, input_shape: Sequence[int], classes: int, seed: int, **options: Any
) -> nn.Module:
    """Build network `name` with initial weights that depend on `seed` alone.

    Parameters
    ----------
    name
        A file of this folder, or `torchvision/<network>`.
    input_shape
        Shape of one example, such as (1, 28, 28).
    classes
        Number of outputs.
    seed
        Seed of the initial weights; torch's global generator is left as it was.
    options
        The network's own options, such as `hidden=[300, 100]`.

    Returns
    -------
    Module
        On the CPU, in train mode.

    Raises
    ------
    ConfigError
        The name or an option is unknown.
    """
    if name.startswith("torchvision/"):
        builder = _torchvision(name.removeprefix("torchvision/"))
    elif name in names():
        builder = plugins.load_module("models", name, "network").build
    else:
        known = ", ".join(names())
        raise ConfigError(f"There is no network {name!r}: choose {known} or torchvision/<network>.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module: nn.Module = builder(tuple(input_shape), classes, **options)
        except TypeError as error:
            raise ConfigError(f"Network {name!r} does not take these options: {error}.") from error
    return module


def _torchvision(name: str) -> Any:
    with needed_by(f"Network {name!r}"):
        import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise ConfigError(f"torchvision has no classification network {name!r}.")

    def builder(input_shape: tuple[int, ...], classes: int, **options: Any) -> nn.Module:
        network: nn.Module = torchvision.models.get_model(
            name, weights=None, num_classes=classes, **options
        )
        if input_shape[0] == 1:
            return nn.Sequential(_GreyToColour(), network)
        return network

    return builder


class _GreyToColour(nn.Module):
    """Show one grey channel as three equal ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(-1, 3, -1, -1)
