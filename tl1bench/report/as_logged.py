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

from tl1bench.figures.context import Context, first_selected
from tl1bench.report.typeset import Table

NETWORK = "mnist_cnn"
ITERATIONS = 30_000
_COUNTS = ("nonzero", "macs_logged", "macs_nonzero", "macs_compact")
_OF = ("weights", "macs_logged_dense", "macs_dense", "macs_dense")


def remark(table: pd.DataFrame, problem: str, context: Context) -> str:
    """Return what has to be known before any number of the experiment is read."""
    seeds = table.loc[table["problem"] == problem, "seed"].nunique()
    histories = [context.history(problem, m, *run) for m, run in _runs(table, problem, context)]
    done = max(int(history["iteration"].iloc[-1]) for history in histories)
    repeated = "One seed: no spread and no interval" if seeds == 1 else f"{seeds} seeds"
    return (
        f"{problem} is the MNIST experiment as a public script of the method has it: network, "
        "penalty, groups, step sizes, dropout, no momentum, nothing after the penalised phase. "
        f"It ran for {done:,} of the script's {ITERATIONS:,} iterations ({done / ITERATIONS:.0%})."
        f" {repeated}. An older version of the script fed softmax outputs into a softmax "
        "cross-entropy; here the loss is the cross-entropy of the scores, for both networks."
    )


def as_logged(table: pd.DataFrame, problem: str, context: Context) -> Table:
    """Return every layer of the first selected run of each method, and all layers together."""
    frame = pd.concat(
        [_of_run(table, problem, m, *run, context) for m, run in _runs(table, problem, context)],
        ignore_index=True,
    )
    rows = tuple(
        (
            context.looks[r["method"]].label,
            r["layer"],
            f"{r['weights']:,}",
            *(f"{r[n]:,} ({100 * r[n] / r[of]:.2f} %)" for n, of in zip(_COUNTS, _OF, strict=True)),
            f"{r['test_accuracy_pct']:.2f}" if math.isfinite(r["test_accuracy_pct"]) else "",
        )
        for r in frame.to_dict("records")
    )
    ends = (
        f"{context.looks[r['method']].label} {100 * r['nonzero_at_end'] / r['weights']:.2f} %"
        for r in frame.dropna(subset="nonzero_at_end").to_dict("records")
    )
    return Table(
        name=f"{problem}-as-logged",
        title=f"{problem}: what the script logs, and what is computed",
        note=(
            "Shares are of the same network without zeros. MACs as logged: those of non-zero "
            "weights, convolutions counted without their padding, as the script does for its FLOP "
            "ratio. MACs of non-zero weights: the same at the true sizes. MACs, compact: what the "
            "compact network performs. Non-zero are weights once units that nothing reads have "
            f"left; in the last training step it was: {', '.join(ends)}. Biases are not counted."
        ),
        header=(
            "method",
            "layer",
            "weights",
            "non-zero",
            "MACs as logged",
            "MACs of non-zero weights",
            "MACs, compact",
            "test accuracy [%]",
        ),
        rows=rows,
        bold=frozenset(),
        frame=frame,
    )


def places_unpadded(layer: Mapping[str, Any]) -> int:
    """How often one sample would use each weight if the layer's convolution were not padded.

    For linear layers and for square convolutions whose padding keeps the image's size.
    """
    size = math.isqrt(layer["macs_before"] // layer["weights_before"])
    kernel = math.isqrt(layer["weights_before"] // (layer["units_before"] * layer["inputs_before"]))
    return int((size - kernel + 1) ** 2)


def _runs(
    table: pd.DataFrame, problem: str, context: Context
) -> list[tuple[str, tuple[float, int]]]:
    """Return (method, (λ, seed)) of the first selected run of each method that has one."""
    found = ((method, first_selected(table, problem, method)) for method in context.methods)
    return [(method, run) for method, run in found if run]


def _of_run(
    table: pd.DataFrame, problem: str, method: str, lam: float, seed: int, context: Context
) -> pd.DataFrame:
    runs = table.set_index(["problem", "method", "lam", "seed"])
    frame = pd.DataFrame([_of_layer(x) for x in context.layers(problem, method, lam, seed)])
    whole: dict[str, Any] = {"layer": "all", **frame.drop(columns="layer").sum()}
    whole["test_accuracy_pct"] = 100 - runs["test_error_pct"][problem, method, lam, seed]
    history = context.history(problem, method, lam, seed)
    whole["nonzero_at_end"] = history["nonzero_weights"].iloc[-1]
    return pd.concat([frame, pd.DataFrame([whole])]).assign(method=method)


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
