"""Model cards: what a network is, what it was trained on and how well it does, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tl1bench.results import layout

if TYPE_CHECKING:
    from tl1bench.config import Config
    from tl1bench.datasets import Dataset
    from tl1bench.results import Run

FORMAT = "tl1bench model card 1"
TARGET = "tl1bench.target"
"""Under which key an ONNX file's metadata say how its output stands for a number."""
_ERRORS = (
    *("val_error_pct", "test_error_pct", "test_rmse", "test_r2"),
    *("guess_error_pct", "guess_p"),
)


def of_run(config: Config, run: Run, found: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
    """Return what is known of a network before its data are read.

    Parameters
    ----------
    config
        The profile: the settings that the network was trained with.
    run
        The network.
    found
        What training and compaction wrote of it.
    full
        Whether it is the network as trained, removed weights being zeros, not the compact one.

    Returns
    -------
    dict
        Format, network, errors and training.
    """
    problem = config.problems[run.problem]
    state = "dense" if full else "compact"
    return {
        "format": FORMAT,
        "network": {
            **run._asdict(),
            "level": found["lam"],
            "weights": found[f"weights_{state}"],
            "nonzero_weights": found["nonzero_weights"],
            "macs": found[f"macs_{state}"],
            "architecture": found["architecture"],
            "of": {"weights": found["weights_dense"], "macs": found["macs_dense"]},
        },
        "errors": {name: found[name] for name in _ERRORS if name in found},
        "trained": {
            "profile": config.profile,
            "problem": problem.model_dump(mode="json", exclude={"methods"}),
            "method": config.methods[run.method].on(run.problem).model_dump(mode="json"),
        },
    }


def whole(
    begun: Mapping[str, Any], data: Dataset, recorded: Mapping[str, Any], file: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a card with what goes in, what comes out, and the file.

    Parameters
    ----------
    begun
        What `of_run` returned.
    data
        Prepared.
    recorded
        What the data stage wrote of it.
    file
        Numbers of the ONNX file.

    Returns
    -------
    dict
        Plain data.
    """
    outputs: dict[str, Any] = {"classes": list(data.labels)}
    if data.target is not None:
        # t = mean + scale · output
        outputs = {"mean": data.target.mean, "scale": data.target.scale}
    prepared = data.preprocessing is not None
    return {
        **begun,
        "errors": {"task": data.task.name, "unit": data.task.unit, **begun["errors"]},
        "data": {
            "name": data.name,
            **{k: recorded[k] for k in ("sha256", "train", "test")},
        },
        "inputs": {
            "shape": list(data.input_shape),
            "times": data.scale,
            "preprocessing": layout.PREPROCESSING if prepared else None,
        },
        "outputs": outputs,
        "file": dict(file),
    }


def carried(data: Dataset) -> dict[str, str]:
    """Return what an ONNX file itself says of its inputs and outputs, as JSON by key.

    Parameters
    ----------
    data
        Prepared: a table's columns and what they become, numbers in the own unit t = `mean` +
        `scale` · output, or nothing where classes are told from arrays.

    Returns
    -------
    dict
        For the file's metadata.
    """
    from tl1bench.datasets import METADATA

    if data.preprocessing is not None:
        return {METADATA: json.dumps(data.preprocessing.to_json(), ensure_ascii=False)}
    if data.target is not None:
        return {TARGET: json.dumps({"mean": data.target.mean, "scale": data.target.scale})}
    return {}
