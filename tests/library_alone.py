"""The library in an environment that has only some packages: `library_alone.py PACKAGE,…`.

Prints what came of each name as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tempfile
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def needed(packages: set[str]) -> set[str]:
    """Return packages and what they need themselves, extras aside."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        package = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if package in found:
            continue
        found.add(package)
        try:
            wanted = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [
            match[0] for w in wanted if "extra ==" not in w and (match := re.match(r"[\w.-]+", w))
        ]
    return found


def hide_all_but(packages: set[str]) -> None:
    """Let no module of a package be found that is not among those given."""
    there = needed(packages)
    absent = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if there.isdisjoint(re.sub(r"[-_.]+", "-", o).lower() for o in owners)
    } - {"tl1bench"}

    class Finder(PathFinder):
        @classmethod
        def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
            if fullname.partition(".")[0] in absent:
                return None
            return PathFinder.find_spec(fullname, path, target)

    sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]


def small(tl: Any) -> dict[str, Any]:
    """Train, walk a path, compact, save and load; return what is to be seen of it."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = torch.randn(64, 6), torch.randint(0, 3, (64,))

    def network() -> nn.Sequential:
        return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

    def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
        for _ in range(4):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    def evaluate(model: nn.Module) -> float:
        return float((model(x).argmax(1) != y).float().mean()) * 100

    model = network()
    penalty = tl.penalties.load("integrated_tl1", lam=0.05, a=0.1)
    optimizer = tl.ProximalSGD(model, penalty, lr=0.1, example_inputs=x)
    for _ in range(20):
        train_epoch(model, optimizer)
    compacted = tl.compact(model, x)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.safetensors"
        compacted.save(file)
        again = tl.load_compacted(file)
    points = tl.path(
        network(), penalty, train_epoch=train_epoch, evaluate=evaluate, example_inputs=x, steps=2,
        branch_epochs=2, margin=100.0,
    )  # fmt: skip
    return {
        "smaller": compacted.report.weights_after < compacted.report.weights_before,
        "same": bool(torch.allclose(model(x), again(x), atol=1e-5)),
        "steps": len(points),
        "checked": len(tl.check(network(), x).penalised),
    }


def attempted(tl: Any, names: list[str]) -> dict[str, str]:
    """Return for each name the sentence with which it fails, empty where it is there."""
    found = {}
    for name in names:
        try:
            getattr(tl, name)
        except tl.Tl1benchError as error:
            found[name] = f"{type(error).__name__}: {error}"
        else:
            found[name] = ""
    return found


if __name__ == "__main__":
    hide_all_but(set(sys.argv[1].split(",")))
    import tl1bench

    told = attempted(tl1bench, tl1bench.__all__)
    sys.stdout.write(json.dumps({"small": small(tl1bench), "told": told}) + "\n")
