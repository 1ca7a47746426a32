"""Where a network's time goes."""

from __future__ import annotations

import pytest
from onnx_graphs import convolutions

from tl1bench.measuring import (
    profile,
)
from tl1bench.measuring.profiling import operators


def test_the_profile_names_operators_and_shares(tmp_path):
    table = profile(convolutions(tmp_path / "c.onnx"), batch=2, runs=20, warmup=5)
    assert list(table.columns) == [
        *("node", "operator", "blocked", "calls", "mean_us", "share_pct")
    ]
    assert (table["operator"] == "Conv").sum() == 2
    assert (table["calls"] == 20).all()
    assert table["share_pct"].sum() == pytest.approx(100)


def test_the_profile_leaves_the_warm_up_out():
    def event(name, dur, operator="Conv", cat="Node"):
        return {"cat": cat, "name": name, "dur": dur, "args": {"op_name": operator}}

    events = [event("model_run", 999, cat="Session")]
    for conv, gemm in [(500, 500), (6, 1), (9, 4)]:
        events += [event("c_nchwc_kernel_time", conv), event("g_kernel_time", gemm, "Gemm")]
    table = operators(events, warmup=1)
    assert table.to_dict("list") == {
        "node": ["c_nchwc", "g"],
        "operator": ["Conv", "Gemm"],
        "blocked": [True, False],
        "calls": [2, 2],
        "mean_us": [7.5, 2.5],
        "share_pct": [75.0, 25.0],
    }


def test_an_interrupt_is_no_part_of_an_operators_time():
    spent = [10, 10, 11, 12, 11, 10, 12, 5000]
    events = [
        {"cat": "Node", "name": "c_kernel_time", "dur": dur, "args": {"op_name": "Conv"}}
        for dur in spent
    ]
    assert operators(events, warmup=0)["mean_us"].item() == (10 + 11 + 11 + 12) / 4
