"""Every metric keeps the contract, and those of ours compute what their docstrings say."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from tl1bench import metrics, results
from tl1bench.errors import ConfigError

NAMES = metrics.names()
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
        "added_peak_dense_mib": [5.0, math.nan],
        "added_peak_compact_mib": [4.0, math.nan],
        "train_seconds": [9.0, 7.0],
    }
)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("validation_error", [1.5, 2.5]),
        ("test_error", [2.0, 3.0]),
        ("nonzero_kept", [5.0, 2.5]),
        ("weights_kept", [20.0, 10.0]),
        ("compression", [5.0, 10.0]),
        ("macs_kept", [25.0, 1.0]),
        ("onnx_kept", [25.0, math.nan]),
        ("latency_ratio", [0.25, math.nan]),
        ("speed_up", [4.0, math.nan]),
        ("memory_kept", [80.0, math.nan]),
        ("train_seconds", [9.0, 7.0]),
    ],
)
def test_a_metric_is_what_it_says(name, values):
    assert metrics.measure(name, TABLE).tolist() == pytest.approx(values, nan_ok=True)


def test_memory_that_dense_does_not_add_has_no_share():
    nothing = TABLE.assign(added_peak_dense_mib=[0.0, -0.01])
    assert metrics.measure("memory_kept", nothing).isna().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_says_what_it_is(name):
    module = metrics.load(name)
    assert module.BETTER in ("lower", "higher")
    assert metrics.axis_label(name) == f"{module.LABEL} [{module.UNIT}]"
    assert module.__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_gives_one_number_a_row_from_that_row_alone(name, table):
    before = table.copy()
    found = metrics.measure(name, table)
    pd.testing.assert_frame_equal(table, before)
    assert found.dtype == "float64"
    assert found.index.equals(table.index)
    backwards = metrics.measure(name, table[::-1])
    pd.testing.assert_series_equal(backwards[::-1], found)
    pd.testing.assert_series_equal(metrics.measure(name, table[:1]), found[:1])


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_was_measured_a_metric_is_finite_or_not_a_number(name, table):
    unknown = table.assign(**dict.fromkeys(results.OPTIONAL)).astype(dict(results.DTYPES))
    found = metrics.measure(name, unknown)
    assert not found.isin([math.inf, -math.inf]).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_is_better_in_everything_is_better_by_every_metric(name, table):
    # Every number is better where it is smaller, but for R².
    measured = table[table["latency_ratio_p50"].notna()].assign(test_r2=0.6)
    own = [
        column
        for column, dtype in results.DTYPES.items()
        if dtype in ("float64", "int64", "Int64") and "_dense" not in column
    ]
    halves = {column: measured[column].astype("float64") / 2 for column in own} | {"test_r2": 0.8}
    change = metrics.measure(name, measured.assign(**halves)) - metrics.measure(name, measured)
    assert ((change < 0) if metrics.load(name).BETTER == "lower" else (change > 0)).all()


def test_an_unknown_metric_is_an_error_that_lists_the_known():
    with pytest.raises(ConfigError, match=r"'beauty'.*compression.*weights_kept"):
        metrics.load("beauty")
