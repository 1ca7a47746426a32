"""From a configured problem to its data: read, verified and split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tl1bench import datasets

if TYPE_CHECKING:
    from tl1bench.config import Config, Problem

# One split for every seed: runs differ in weights and order, never in what they are judged on.
_SPLIT_SEED = 20190101


def dataset(config: Config, name: str) -> datasets.Dataset:
    """Read data set `name`: one of ours, or a user's own named in params.yaml."""
    own = config.datasets[name]
    if own.path is not None:
        return datasets.read_user(name, own.path, config.data, label=own.label)
    return datasets.read(name, config.data)


def split(config: Config, problem: Problem) -> tuple[datasets.Dataset, datasets.Split]:
    """Read a problem's data set and set its validation examples aside."""
    whole = dataset(config, problem.dataset)
    return whole, datasets.split(whole, problem.validation, _SPLIT_SEED)


def digest(whole: datasets.Dataset) -> str:
    """Return the sha256 over every array of the data set."""
    sha = hashlib.sha256(repr(whole.scale).encode())
    for array in (whole.x_train, whole.y_train, whole.x_test, whole.y_test):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
