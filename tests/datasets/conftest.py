"""A made-up mirror in place of each official data set, and no way to the outside."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from made_up_data import batches, made_up

from tl1bench.datasets import _idx, _registries, cifar10, digits, fashion_mnist, mnist
from tl1bench.datasets._recipe import Unavailable

MODULES = {
    "cifar10": cifar10,
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "mnist": mnist,
}
FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_web(name: str) -> None:
        raise Unavailable(f"no web for {name}")

    def no_registry(command: list[str], folder: Path) -> bytes:
        raise Unavailable(f"no registry in {folder.name} for {command[0]}")

    monkeypatch.delenv("TL1BENCH_MIRROR", raising=False)
    monkeypatch.setattr(_registries, "run", no_registry)
    for module in (cifar10, fashion_mnist, mnist):
        monkeypatch.setattr(module, "torchvision_dataset", no_web)


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """The made-up data sets' IDX files, their digests stated as the official ones."""
    contents = {}
    for name in ("mnist", "fashion-mnist", "cifar10"):
        module: ModuleType = MODULES[name]
        content = dict(zip(module.RECIPE.files, map(_idx.serialise, made_up(name)), strict=True))
        stated = {file: hashlib.md5(part).hexdigest() for file, part in content.items()}
        monkeypatch.setattr(module, "RECIPE", replace(module.RECIPE, files=stated))
        contents[name] = content
    stated = {name: hashlib.md5(part).hexdigest() for name, part in batches().items()}
    monkeypatch.setattr(cifar10, "_BATCHES", stated)
    return contents


@pytest.fixture
def mirror(tmp_path: Path, official: dict[str, dict[str, bytes]]) -> Path:
    """A mirror folder with the made-up data sets, gzipped as the official ones are."""
    folder = tmp_path / "mirror"
    for name, place in FOLDERS.items():
        (folder / place).mkdir(parents=True)
        for file, content in official[name].items():
            (folder / place / f"{file}.gz").write_bytes(gzip.compress(content))
    (folder / "cifar-10-batches-py").mkdir()
    for file, content in batches().items():
        (folder / "cifar-10-batches-py" / file).write_bytes(content)
    return folder


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def say(lines: list[str]) -> Callable[[str], None]:
    return lines.append
