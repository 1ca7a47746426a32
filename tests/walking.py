"""A small problem on which paths can be walked in seconds: the digits of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count

import torch
from sklearn.datasets import load_digits
from torch import nn

from tl1bench import methods, models
from tl1bench.training import Examples, error_pct
from tl1bench.training.epochs import Epochs
from tl1bench.training.points import Points

QUICK = {"lr": 0.5, "epochs": 2, "branch_epochs": 3, "dense_epochs": 3, "steps": 3, "margin": 90.0}


@cache
def digits(first: int, last: int) -> Examples:
    """Return some of the digits, each pixel a share of the blackest."""
    data = load_digits()
    x = (data.images[first:last, None] / 16).astype("float32")
    return Examples.of(x, data.target[first:last], 1.0, torch.device("cpu"))


def network(seed: int = 0, hidden: tuple[int, ...] = (32, 16)) -> nn.Module:
    """Return a fresh network for them."""
    return models.build("mlp", (1, 8, 8), 10, seed, hidden=list(hidden))


def evaluate(model: nn.Module) -> float:
    """Return the error in percent on the examples set aside."""
    return error_pct(model, digits(1000, 1400))


def killed_at(reading: int) -> Callable[[nn.Module], float]:
    """Return `evaluate` for a path that is killed, once, when it reads its error so many times."""
    readings = count(1)

    def judge(model: nn.Module) -> float:
        if next(readings) == reading:
            raise KeyboardInterrupt
        return evaluate(model)

    return judge


def walk(method: object, model: nn.Module | None = None, **options: object) -> Points:
    """Walk a short path."""
    return methods.path(
        network() if model is None else model,
        method,
        **{
            "train_epoch": Epochs(digits(0, 1000), batch=50),
            "evaluate": evaluate,
            "example_inputs": digits(0, 4).x,
            **QUICK,
            **options,
        },
    )
