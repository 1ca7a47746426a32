"""`tl1bench predict`: a network in an ONNX file and a table; the file says how to prepare it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tl1bench import datasets, files, runtime, tasks
from tl1bench.errors import ConfigError


def predict(model: Path, table: Path, output: Path | None) -> None:
    """Write a class and its probability, or a number, for every row of `table`, as CSV.

    Parameters
    ----------
    model
        An ONNX file of a network that the pipeline trained on a table.
    table
        Rows with the same columns; with the label, too, the error is said.
    output
        A CSV file; None prints.

    Raises
    ------
    ConfigError
        The file does not say how a table becomes its inputs.
    """
    import pandas as pd

    if not model.is_file():
        raise ConfigError(f"{model} is not there: name an ONNX file that the pipeline exported.")
    session = runtime.open_session(model)
    stored = session.get_modelmeta().custom_metadata_map.get(datasets.METADATA)
    if stored is None:
        raise ConfigError(
            f"{model} does not say how a table becomes its inputs: only networks that the pipeline "
            "trained on a table do."
        )
    fitted = datasets.Preprocessing.from_json(_json(stored, model))
    x, known = datasets.read_rows(table, fitted)
    (outputs,) = session.run(None, {session.get_inputs()[0].name: x})
    made = _classes(outputs, fitted) if fitted.target is None else _numbers(outputs, fitted.target)
    text = pd.DataFrame(made).to_csv(index=False, lineterminator="\n")
    if output is None:
        sys.stdout.write(text)
    else:
        files.write_text(output, text)
    if known is not None:
        said = _error(made["predicted"], known, fitted)
        sys.stderr.write(f"error on the {len(known)} labelled rows: {said}\n")


def _classes(
    outputs: NDArray[np.float32], fitted: datasets.Preprocessing
) -> dict[str, NDArray[Any]]:
    shares = _probabilities(outputs)
    chosen = np.array(fitted.classes)[shares.argmax(axis=1)]
    return {"predicted": chosen, "probability": shares.max(axis=1).round(4)}


def _numbers(outputs: NDArray[np.float32], target: tasks.Target) -> dict[str, NDArray[Any]]:
    # What float32 holds of a number, and no digits that it does not.
    return {"predicted": target.undo(outputs[:, 0]).astype(np.float32)}


def _error(predicted: NDArray[Any], known: NDArray[Any], fitted: datasets.Preprocessing) -> str:
    if fitted.target is None:
        return f"{tasks.load().error_pct(predicted, known):.2f} %"
    task, y = tasks.load("regression"), fitted.target.apply(known)
    found = task.details(task.error_pct(fitted.target.apply(predicted), y), y, fitted.target)
    return ", ".join(f"{task.columns[name]} {value:.4g}" for name, value in found.items())


def _json(stored: str, model: Path) -> dict[str, object]:
    try:
        content = json.loads(stored)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"{model} holds a preprocessing that is no JSON; export it again.")
    return content


def _probabilities(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the softmax of (n, classes)."""
    raised = np.exp(outputs.astype(np.float64) - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
