"""Numbers that others reported, as points of error against weights kept, with provenance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("published.csv")
_NETWORKS = {
    "mnist-lenet5": ("LeNet-5-Caffe/MNIST", 430_500),
    "mnist-lenet300": ("LeNet-300-100/MNIST", 266_200),
}
_ERROR = re.compile(r"@(?P<value>[\d.]+)%(?P<kind> error)?$")


@dataclass(frozen=True)
class Point:
    """One result reported elsewhere."""

    who: str
    year: int
    weights_pct: float
    error_pct: float
    basis: str
    recollection: bool
    reference: str


def read(path: Path = FILE) -> pd.DataFrame:
    """Return the table of published numbers as it stands."""
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def points(problem: str) -> tuple[Point, ...]:
    """Return the published points that fit the axes of `problem`; none but for the MNIST LeNets.

    Entries that give an error and either a number of weights or an architecture qualify. Weights
    of an architecture c1-c2-f-h (f live flattened inputs of h hidden units) are
    25 c1 + 25 c1 c2 + f h + 10 h; one with f > 16 c2 was counted otherwise and is left out. A
    reported accuracy A is the error 100 − A.
    """
    network, dense = _NETWORKS.get(problem, ("", 1))
    found = []
    for row in read().to_dict("records"):
        match = _ERROR.search(row["what"])
        if row["problem"] != network or match is None:
            continue
        error = float(match["value"]) if match["kind"] else 100.0 - float(match["value"])
        weights, basis = _weights(row["what"], row["value"], dense)
        if weights is None:
            continue
        found.append(
            Point(
                who=row["method"],
                year=int(row["year"]),
                weights_pct=100.0 * weights / dense,
                error_pct=round(error, 6),
                basis=basis,
                recollection=row["seen"] != "yes",
                reference=row["source"],
            )
        )
    return tuple(sorted(found, key=lambda p: (p.weights_pct, p.who)))


def _weights(what: str, value: str, dense: int) -> tuple[float | None, str]:
    if what.startswith("architecture"):
        conv1, conv2, flat, hidden = (int(part) for part in value.split("-"))
        if flat > 16 * conv2:
            return None, ""
        count = 25 * conv1 + 25 * conv1 * conv2 + flat * hidden + 10 * hidden
        return count, f"weights of the reported architecture {value}"
    if what.startswith("compression"):
        return dense / float(value), f"reported compression {value}×"
    return float(value), f"{int(value):,} non-zero weights"
