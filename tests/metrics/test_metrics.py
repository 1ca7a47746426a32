"""Every metric keeps the contract, and computes what its docstring says."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from tl1bench import metrics
from tl1bench.errors import ConfigError

TABLE = pd.DataFrame(
    {
        "val_error_pct": [1.5, 2.5],
        "test_error_pct": [2.0, 3.0],
        "nonzero_weights": [50, 25],
        "weights_dense": [1000, 1000],
        "weights_compact": [200, 100],
        "macs_dense": [4000, 4000],
        "macs_compact": [1000, 40],
        "onnx_bytes_dense": pd.array([8000, pd.NA], dtype="Int64"),
        "onnx_bytes_compact": pd.array([2000, pd.NA], dtype="Int64"),
        "latency_ratio_p50": [0.25, math.nan],
        "uss_dense_mib": [50.0, math.nan],
        "uss_compact_mib": [40.0, math.nan],
        "train_seconds": [9.0, 7.0],
    }
)
EXPECTED = {
    "validation_error": [1.5, 2.5],
    "test_error": [2.0, 3.0],
    "nonzero_kept": [5.0, 2.5],
    "weights_kept": [20.0, 10.0],
    "compression": [5.0, 10.0],
    "macs_kept": [25.0, 1.0],
    "onnx_kept": [25.0, math.nan],
    "latency_ratio": [0.25, math.nan],
    "speed_up": [4.0, math.nan],
    "memory_kept": [80.0, math.nan],
    "train_seconds": [9.0, 7.0],
}


def test_every_metric_is_checked_here():
    assert set(metrics.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", metrics.names())
def test_a_metric_is_what_it_says(name):
    found = metrics.measure(name, TABLE)
    assert found.dtype == "float64"
    assert found.tolist() == pytest.approx(EXPECTED[name], nan_ok=True)


@pytest.mark.parametrize("name", metrics.names())
def test_a_metric_says_what_it_is(name):
    module = metrics.load(name)
    assert module.BETTER in ("lower", "higher")
    assert metrics.axis_label(name) == f"{module.LABEL} [{module.UNIT}]"
    assert module.__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize(
    ("lower", "higher"), [("weights_kept", "compression"), ("latency_ratio", "speed_up")]
)
def test_inverse_metrics_point_in_opposite_directions(lower, higher):
    assert metrics.load(lower).BETTER == "lower"
    assert metrics.load(higher).BETTER == "higher"


def test_an_unknown_metric_is_an_error_that_lists_the_known():
    with pytest.raises(ConfigError, match=r"'beauty'.*compression.*weights_kept"):
        metrics.load("beauty")
