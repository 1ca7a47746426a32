"""The as-coded MNIST experiment: what its script logs, beside what is really computed.

The script counts a multiply-accumulate for every non-zero weight and every place that a convolution
without padding would have. Its convolutions are padded and no library skips single zeros, so the
multiply-accumulates of non-zero weights at the true sizes, and of the compact network, stand there
too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from tl1bench.results import Run, first_selected
from tl1bench.results.evidence import Evidence

NETWORK = "mnist_cnn"
ITERATIONS = 30_000


def remark(table: pd.DataFrame, problem: str, evidence: Evidence) -> str:
    """Return what has to be known before any number of the experiment is read.

    Parameters
    ----------
    table
        Rows of runs.csv.
    problem
        One that repeats the script.
    evidence
        The profile.

    Returns
    -------
    str
        Whole sentences.
    """
    seeds = table.loc[table["problem"] == problem, "seed"].nunique()
    histories = [evidence.history(run) for run in _runs(table, problem, evidence)]
    done = max(int(history["iteration"].iloc[-1]) for history in histories)
    repeated = "One seed: no spread and no interval" if seeds == 1 else f"{seeds} seeds"
    return (
        f"{problem} is the MNIST experiment as a public script of the method has it: network, "
        "penalty, groups, step sizes, dropout, no momentum, nothing after the penalised phase. "
        f"It ran for {done:,} of the script's {ITERATIONS:,} iterations ({done / ITERATIONS:.0%})."
        f" {repeated}. An older version of the script fed softmax outputs into a softmax "
        "cross-entropy; here the loss is the cross-entropy of the scores, for both networks."
    )


def layer_counts(table: pd.DataFrame, problem: str, evidence: Evidence) -> pd.DataFrame:
    """Return the counts of every layer of the first selected run of each method, and their sum.

    Parameters
    ----------
    table
        Rows of runs.csv.
    problem
        One that repeats the script.
    evidence
        The profile.

    Returns
    -------
    DataFrame
        method, layer ("all" for the sum), weights, nonzero, macs_logged_dense, macs_logged,
        macs_dense, macs_nonzero and macs_compact (of one example); test_accuracy_pct and
        nonzero_at_end (in the last training step) for the sum alone.
    """
    counts = [_of_run(table, run, evidence) for run in _runs(table, problem, evidence)]
    return pd.concat(counts, ignore_index=True)


def places_unpadded(layer: Mapping[str, Any]) -> int:
    """How often one sample would use each weight if the layer's convolution were not padded.

    For linear layers and for square convolutions whose padding keeps the image's size.
    """
    size = math.isqrt(layer["macs_before"] // layer["weights_before"])
    kernel = math.isqrt(layer["weights_before"] // (layer["units_before"] * layer["inputs_before"]))
    return int((size - kernel + 1) ** 2)


def _runs(table: pd.DataFrame, problem: str, evidence: Evidence) -> list[Run]:
    """Return the first selected run of each method that has one."""
    found = (first_selected(table, problem, method) for method in evidence.methods)
    return [run for run in found if run]


def _of_run(table: pd.DataFrame, run: Run, evidence: Evidence) -> pd.DataFrame:
    runs = table.set_index(list(Run._fields))
    frame = pd.DataFrame([_of_layer(x) for x in evidence.layers(run)])
    whole: dict[str, Any] = {"layer": "all", **frame.drop(columns="layer").sum()}
    whole["test_accuracy_pct"] = 100 - runs["test_error_pct"][tuple(run)]
    whole["nonzero_at_end"] = evidence.history(run)["nonzero_weights"].iloc[-1]
    return pd.concat([frame, pd.DataFrame([whole])]).assign(method=run.method)


def _of_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    places = layer["macs_before"] // layer["weights_before"]
    unpadded = places_unpadded(layer)
    return {
        "layer": layer["name"],
        "weights": layer["weights_before"],
        "nonzero": layer["weights_nonzero"],
        "macs_logged_dense": unpadded * layer["weights_before"],
        "macs_logged": unpadded * layer["weights_nonzero"],
        "macs_dense": layer["macs_before"],
        "macs_nonzero": places * layer["weights_nonzero"],
        "macs_compact": layer["macs_after"],
    }
