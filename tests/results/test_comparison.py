"""Paired differences and who wins, on tables small enough to check by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tl1bench.results import comparison

SEEDS = 5
WOBBLE = np.array([0.0, 0.3, -0.2, 0.5, -0.4])
NOISE = np.array([0.01, -0.02, 0.015, -0.01, 0.02])


def runs(method: str, errors: np.ndarray, weights: np.ndarray, problem: str = "toy"):
    return pd.DataFrame(
        {
            "problem": problem,
            "method": method,
            "step": 1,
            "lam": 1e-4,
            "seed": np.arange(len(errors)),
            "val_error_pct": errors,
            "test_error_pct": errors,
            "nonzero_weights": weights,
            "weights_dense": 1000,
            "weights_compact": weights,
            "macs_dense": 4000,
            "macs_compact": 4 * weights,
            "test_r2": math.nan,
            "onnx_bytes_dense": 9000,
            "onnx_bytes_compact": 90,
            "latency_ratio_p50": math.nan,
            "added_peak_dense_mib": math.nan,
            "added_peak_compact_mib": math.nan,
            "train_seconds": 1.0,
            "selected": True,
        }
    )


BASE = 5.0 + WOBBLE
SIZE = np.array([100, 103, 98, 101, 99])


def outcome(error_shift, size_factor, error_noise=1.0) -> str:
    table = pd.concat(
        [
            runs("ours", BASE + error_shift + error_noise * NOISE, SIZE * size_factor),
            runs("theirs", BASE, SIZE[::-1]),
        ],
        ignore_index=True,
    )
    (found,) = comparison.versus(table, "toy", "ours", ["theirs"])
    return found.outcome


@pytest.mark.parametrize(
    ("error_shift", "size_factor", "expected"),
    [
        (-1.0, 1, "wins"),
        (0.0, 0.5, "wins"),
        (-1.0, 0.5, "wins"),
        (1.0, 1, "loses"),
        (0.0, 2, "loses"),
        (-1.0, 2, "trades"),
        (1.0, 0.5, "trades"),
        (0.0, 1, "ties"),
    ],
)
def test_the_outcome_follows_from_error_and_size(error_shift, size_factor, expected):
    assert outcome(error_shift, size_factor) == expected


def test_being_smaller_but_probably_worse_is_no_win():
    # Worse on every seed, too few and too scattered for the t-test to confirm it.
    ours = runs("ours", BASE[:3] + np.array([0.1, 0.5, 0.9]), SIZE[:3] * 0.2)
    table = pd.concat([ours, runs("theirs", BASE[:3], SIZE[2::-1])], ignore_index=True)
    (found,) = comparison.versus(table, "toy", "ours", ["theirs"])
    assert (found.error.leaning, found.error.sign) == (1, 0)
    assert found.size.sign == -1
    assert found.outcome == "trades"


def test_one_seed_shows_nothing():
    table = pd.concat([runs("ours", BASE[:1] - 3, SIZE[:1] // 9), runs("theirs", BASE, SIZE)])
    (found,) = comparison.versus(table.reset_index(drop=True), "toy", "ours", ["theirs"])
    assert found.seeds == 1
    assert found.outcome == "ties"


def test_differences_are_paired_by_seed_and_not_by_row():
    ours, theirs = runs("ours", BASE - 0.1, SIZE), runs("theirs", BASE, SIZE)
    straight = pd.concat([ours, theirs], ignore_index=True)
    reversed_ = pd.concat([ours, theirs.iloc[::-1]], ignore_index=True)
    (a,) = comparison.versus(straight, "toy", "ours", ["theirs"])
    (b,) = comparison.versus(reversed_, "toy", "ours", ["theirs"])
    assert a == b
    assert a.error.interval.high == pytest.approx(-0.1)


def test_only_seeds_in_common_and_selected_points_are_compared():
    other = runs("theirs", BASE + 50, SIZE).assign(step=9, selected=False)
    theirs = runs("theirs", BASE, SIZE).iloc[2:]
    table = pd.concat([runs("ours", BASE + 1, SIZE), theirs, other], ignore_index=True)
    (found,) = comparison.versus(table, "toy", "ours", ["theirs", "absent"])
    assert found.seeds == 3
    assert found.error.interval.estimate == pytest.approx(1.0)


def test_p_values_are_adjusted_over_the_baselines():
    table = pd.concat(
        [
            runs("ours", BASE + NOISE, SIZE),
            *(runs(f"b{i}", BASE + 0.02, SIZE) for i in range(4)),
        ],
        ignore_index=True,
    )
    (alone,) = comparison.versus(table, "toy", "ours", ["b0"])
    first, *_ = comparison.versus(table, "toy", "ours", ["b0", "b1", "b2", "b3"])
    assert first.error.p_holm == pytest.approx(min(1, 4 * alone.error.p_holm))


def test_summary_gives_the_difference_to_dense_with_its_sign():
    table = pd.concat(
        [runs("dense", BASE, SIZE * 10), runs("l1", BASE + 0.25 + NOISE, SIZE)], ignore_index=True
    )
    found = comparison.summary(table).set_index("method")
    assert found.loc["l1", "delta"] == pytest.approx(0.25 + NOISE.mean())
    assert 0.2 < found.loc["l1", "delta_low"] < found.loc["l1", "delta"]
    assert found.loc["l1", "delta"] < found.loc["l1", "delta_high"] < 0.3
    assert math.isnan(found.loc["dense", "delta"])
    assert found.loc["l1", "test_error_mean"] == pytest.approx((BASE + 0.25 + NOISE).mean())
    assert found.loc["l1", "test_error_sd"] == pytest.approx((BASE + NOISE).std(ddof=1))
