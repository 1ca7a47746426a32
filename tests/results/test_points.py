"""Operating points: means over seeds, with intervals where there are several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_up_results import step_of

from tl1bench.results.points import measured_points, operating_points


@pytest.fixture
def runs(table):
    """Return the runs of one method and λ, none of which was measured."""
    of_l1 = table[(table["problem"] == "digits-mlp") & (table["method"] == "l1")]
    one = of_l1[of_l1["lam"] == of_l1["lam"].min()].reset_index(drop=True)
    return one.assign(latency_ratio_p50=math.nan, added_peak_compact_mib=math.nan)


def test_an_operating_point_of_one_seed_has_a_mean_but_no_spread(runs):
    point = operating_points(runs[:1], ("test_error",)).iloc[0]
    assert point["test_error_mean"] == runs["test_error_pct"][0]
    assert np.isnan([point["test_error_sd"], point["test_error_low"]]).all()
    assert point["seeds"] == 1


def test_what_was_measured_for_some_seeds_is_averaged_over_those(runs):
    runs.loc[1, "latency_ratio_p50"] = 0.5
    point = operating_points(runs, ("latency_ratio", "memory_kept")).iloc[0]
    assert point["latency_ratio_mean"] == 0.5
    assert math.isnan(point["memory_kept_mean"])


def test_latency_intervals_are_those_that_were_measured(tree, table):
    runs = table[table["problem"] == "digits-mlp"]
    points = measured_points(runs, tree.evidence.timings("digits-mlp"))
    timings = tree.evidence.timings("digits-mlp")
    point = points[(points["method"] == "tl1") & (points["lam"] == 1e-4)].iloc[0]
    rows = [timings[f"tl1/step-{step_of(1e-4):02d}-seed-{seed}"] for seed in (0, 1, 2)]
    assert point["latency_ratio_low"] == min(r["ratio_low"] for r in rows)
    assert point["latency_ratio_high"] == max(r["ratio_high"] for r in rows)
    assert point["latency_ratio_mean"] == pytest.approx(np.mean([r["ratio_p50"] for r in rows]))
