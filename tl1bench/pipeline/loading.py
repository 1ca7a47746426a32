"""From a configured problem to its data: read, verified and split."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tl1bench import datasets

if TYPE_CHECKING:
    from tl1bench.config import Config, Data, Problem

# One split for every seed: runs differ in weights and order, never in what they are judged on.
_SPLIT_SEED = 20190101


def dataset(config: Config, name: str) -> datasets.Dataset:
    """Read data set `name`: one of ours, or a user's own named in params.yaml."""
    own = config.datasets[name]
    if own.path is not None:
        return datasets.read_user(name, own.path, config.data, options=_options(own))
    return datasets.read(name, config.data)


def _options(own: Data) -> datasets.Options:
    chosen = own.preprocess
    return datasets.Options(
        task=own.task,
        label=own.label,
        columns=own.columns,
        reading=datasets.Reading(**own.reading.model_dump()),
        preprocess=None if chosen == "none" else datasets.Choices(**chosen.model_dump()),
        size=own.size,
    )


def split(config: Config, problem: Problem) -> tuple[datasets.Dataset, datasets.Split]:
    """Read a problem's data set, set its validation examples aside and prepare a table's values."""
    whole = dataset(config, problem.dataset)
    validation = problem.validation or min(5000, max(1, len(whole.y_train) // 6))
    return datasets.prepare(whole, datasets.split(whole, validation, _SPLIT_SEED))


def digest(whole: datasets.Dataset) -> str:
    """Return the sha256 over every array of the data set."""
    sha = hashlib.sha256(repr(whole.scale).encode())
    for array in (whole.x_train, whole.y_train, whole.x_test, whole.y_test):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def prepared(whole: datasets.Dataset, parts: datasets.Split) -> dict[str, Any]:
    """Return how a table's values became inputs, and the sha256 over what came out."""
    sha = hashlib.sha256()
    for array in (parts.x_train, parts.x_val, parts.x_test, parts.y_train, parts.y_val):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    assert whole.preprocessing is not None
    return {"sha256": sha.hexdigest(), "preprocessing": whole.preprocessing.to_json()}
