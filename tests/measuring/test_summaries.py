"""Which calls count, and what they come to."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from tl1bench.measuring.summaries import by_process, nearest_rank_us, summarize, undisturbed


def burst(model, probe_ns, process=0, batch=1, calls=16):
    where = {"model": model, "batch": batch, "threads": 1, "process": process}
    return [{**where, "probe_ns": probe_ns, "ns": 100}] * calls


def test_a_burst_counts_when_the_probe_beside_it_was_quick():
    rows = [*burst("a", 100), *burst("b", 124), *burst("a", 130), *burst("b", 100, process=1)]
    rows += burst("a", 300, batch=64) + burst("b", 370, batch=64)  # its own level
    quiet = undisturbed(pd.DataFrame(rows))
    assert quiet.tolist() == [True] * 32 + [False] * 16 + [True] * 48


def test_a_process_with_hardly_a_quiet_call_does_not_speak():
    rows = [row for p in range(3) for row in burst("a", 100, process=p)]
    rows += burst("a", 100, process=3, calls=15) + burst("a", 200, process=3)
    quiet = undisturbed(pd.DataFrame(rows))
    assert quiet.tolist() == [True] * 48 + [False] * 31


def test_where_hardly_a_process_was_quiet_all_calls_count():
    rows = [row for p in range(3) for row in burst("b", 100, process=p)]
    rows += [row for p in range(3) for row in burst("a", 100 if p else 200, process=p)]
    assert undisturbed(pd.DataFrame(rows)).all()


def test_a_process_that_says_nothing_leaves_the_others_alone():
    rows, first = [], []
    for process in range(4):
        for model, ns in (("dense", 1000), ("small", 500 if process else 4000)):
            where = {"model": model, "batch": 1, "threads": 1, "process": process}
            rows += [{**where, "ns": ns, "quiet": process > 0}] * 16
            first.append({**where, "ns": 1})
    samples = pd.DataFrame(rows)
    samples["model"] = pd.Categorical(samples["model"], ["dense", "small"])
    table = summarize(samples, by_process(samples, pd.DataFrame(first), "dense"), 0)
    small = table.set_index("model").loc["small"]
    assert (small["ratio_p50"], small["ratio_high"], small["processes"]) == (0.5, 0.5, 3)
    assert small["quiet_pct"] == 75


def test_a_disturbance_that_hits_networks_unequally_leaves_the_ratio_alone():
    rng = np.random.default_rng(0)
    rows = []
    for process in range(5):
        slow = rng.random(40) < 0.2 * process  # the last process is slow four times in five
        for model, ns, factor in (("dense", 107_000, 1.2), ("small", 17_000, 1.6)):
            for turn in slow:
                wobble = rng.normal(1, 0.01)
                where = {"model": model, "batch": 1, "threads": 1, "process": process}
                spent = ns * wobble * (factor if turn else 1)
                rows += [{**where, "ns": spent, "probe_ns": 7500 if turn else 4800}] * 8
    samples = pd.DataFrame(rows)
    samples["model"] = pd.Categorical(samples["model"], ["dense", "small"])
    first = samples.groupby(["model", "batch", "threads", "process"], observed=True)["ns"].first()
    first = first.reset_index().astype({"model": str})

    def ratio(quiet):
        table = samples.assign(quiet=quiet)
        own = summarize(table, by_process(table, first, "dense"), 0).set_index("model")
        return own.loc["small", "ratio_p50"]

    assert ratio(undisturbed(samples)) == pytest.approx(17 / 107, rel=0.01)
    assert ratio(True) > 1.05 * 17 / 107


def test_ranks_are_nearest_ranks():
    ns = np.arange(1000, 0, -1) * 1000
    assert [nearest_rank_us(ns, q) for q in (0.5, 0.9, 0.99)] == [500, 900, 990]
    assert nearest_rank_us([7000], 0.99) == 7
    assert nearest_rank_us([1000, 2000, 3000], 0.5) == 2


def test_ratios_are_paired_within_a_process():
    slow, ratios = [1, 3, 10], [0.5, 0.25, 0.5]  # processes differ, ratios hardly do
    rows, first = [], []
    for process, (factor, ratio) in enumerate(zip(slow, ratios, strict=True)):
        for model, ns in {
            "dense": 4000 * factor,
            "small": 4000 * factor * ratio,
            "floor": 8,
        }.items():
            where = {"model": model, "batch": 1, "threads": 1, "process": process}
            rows += [{**where, "ns": ns}] * 5 + [{**where, "ns": 1_000_000}] * 2
            first.append({**where, "ns": 1000 * (process + 1)})
    samples, first = pd.DataFrame(rows).assign(quiet=True), pd.DataFrame(first)
    samples["model"] = pd.Categorical(samples["model"], ["dense", "small", "floor"])
    per_process = by_process(samples, first, "dense")
    small = per_process[per_process["model"] == "small"]
    assert list(small["ratio_p50"]) == ratios
    assert list(small["calls"]) == [7, 7, 7]
    row = summarize(samples, per_process, seed=0).set_index("model").loc["small"]
    assert row["ratio_p50"] == pytest.approx(math.prod(ratios) ** (1 / 3))
    assert row["ratio_low"] == pytest.approx(0.25)
    assert row["ratio_high"] == pytest.approx(0.5)
    assert row["first_us"] == 2
    assert row["floor_us"] == 0.008
