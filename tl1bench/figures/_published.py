"""Numbers that others reported, as points of error against what is kept, with provenance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

FILE = Path(__file__).with_name("published.csv")
Kept = Literal["weights", "macs"]
_NETWORKS = {
    "mnist-lenet5": ("LeNet-5-Caffe/MNIST", 430_500),
    "mnist-lenet300": ("LeNet-300-100/MNIST", 266_200),
    "cifar-vgg16": ("VGG16-BN/CIFAR-10", 14_715_584),
    "cifar-resnet18": ("ResNet-18/CIFAR-10", 11_164_352),
}
_SHARES = "accuracy, FLOPs kept, params kept"
_ERROR = re.compile(r"@(?P<value>[\d.]+)%(?P<kind> error)?$")


@dataclass(frozen=True)
class Point:
    """One result reported elsewhere."""

    who: str
    year: int
    kept_pct: float
    error_pct: float
    basis: str
    recollection: bool
    reference: str


def read(path: Path = FILE) -> pd.DataFrame:
    """Return the table of published numbers as it stands."""
    return pd.read_csv(path, dtype="str", keep_default_na=False)


def points(problem: str, kept: Kept | None = "weights") -> tuple[Point, ...]:
    """Return the published points that fit the axes of `problem`; none for most problems.

    Entries that give an error and either a number of weights or an architecture qualify. Weights
    of an architecture c1-c2-f-h (f live flattened inputs of h hidden units) are
    25 c1 + 25 c1 c2 + f h + 10 h; one with f > 16 c2 was counted otherwise and is left out. A
    reported accuracy A is the error 100 − A. Shares of FLOPs stand for those of MACs.

    Parameters
    ----------
    problem
        Its name in params.yaml.
    kept
        Of what a share is kept; None for no points.

    Returns
    -------
    tuple of Point
        From small to large.
    """
    network, dense = _NETWORKS.get(problem, ("", 1))
    found = []
    for row in read().to_dict("records"):
        reported = (
            _read(row["what"], row["value"], dense, kept) if row["problem"] == network else None
        )
        if reported is None:
            continue
        share, error, basis = reported
        found.append(
            Point(
                who=row["method"],
                year=int(row["year"]),
                kept_pct=share,
                error_pct=round(error, 6),
                basis=basis,
                recollection=row["seen"] != "yes",
                reference=row["source"],
            )
        )
    return tuple(sorted(found, key=lambda p: (p.kept_pct, p.who)))


def _read(what: str, value: str, dense: int, kept: Kept | None) -> tuple[float, float, str] | None:
    """Return share kept [%], error [%] and what was reported; None where they are not all there."""
    if what == _SHARES and kept:
        accuracy, flops, parameters = (float(part) for part in value.split(","))
        share, of = (flops, "FLOPs") if kept == "macs" else (parameters, "parameters")
        return share, 100.0 - accuracy, f"{share:g} % of {of}"
    match = _ERROR.search(what)
    if match is None or kept != "weights":
        return None
    error = float(match["value"]) if match["kind"] else 100.0 - float(match["value"])
    weights, basis = _weights(what, value, dense)
    return None if weights is None else (100.0 * weights / dense, error, basis)


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
