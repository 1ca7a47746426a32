"""Both modes keep the protocol's minimum."""

from __future__ import annotations

import pytest

from tl1bench.measuring.modes import make_plan


@pytest.mark.parametrize("processes", [1, 3, 5, 8])
@pytest.mark.parametrize(("mode", "calls"), [("quick", 128), ("full", 1024)])
def test_plans_keep_the_protocols_minimum(mode, calls, processes):
    plan = make_plan(mode, models=60, processes=processes, threads=1)
    slowest = plan.rounds([1.0] * 60)
    assert slowest * plan.calls * processes >= calls
    assert plan.warmup >= 50
    assert plan.settle_s == 0
    assert make_plan(mode, 60, processes, threads=2).settle_s > 0


def test_the_full_mode_runs_each_model_for_ten_seconds_and_the_quick_one_is_quick():
    full = make_plan("full", models=3, processes=5, threads=1)
    assert full.share_s * 5 == 10
    assert full.rounds([20e-6] * 3) == 128
    quick = make_plan("quick", models=31, processes=5, threads=1)
    cost_s = 31 * 100e-6
    assert quick.rounds([100e-6] * 31) * cost_s * 10 <= 0.6
