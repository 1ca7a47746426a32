"""Proximal optimisers: one file each, all `torch.optim.Optimizer`s that make exact zeros.

A module in this folder whose name has no leading underscore is an optimiser and holds one final
`ProximalOptimizer` class; nothing else is to be edited.
"""

from __future__ import annotations

from tl1bench import plugins
from tl1bench.optimizers._base import ProximalOptimizer
from tl1bench.optimizers._check import Check, check
from tl1bench.optimizers.proximal_adam import ProximalAdam
from tl1bench.optimizers.proximal_sgd import ProximalSGD
from tl1bench.optimizers.rmda import RMDA

__all__ = [
    "RMDA",
    "Check",
    "ProximalAdam",
    "ProximalOptimizer",
    "ProximalSGD",
    "check",
    "kind",
    "names",
]


def names() -> tuple[str, ...]:
    """Return the name of every optimiser file."""
    return plugins.module_names("optimizers")


def kind(name: str) -> type[ProximalOptimizer]:
    """Return the class of optimiser `name`.

    Raises
    ------
    ConfigError
        There is no such optimiser.
    """
    return plugins.load_class("optimizers", name, "optimizer", ProximalOptimizer)  # type: ignore[type-abstract]
