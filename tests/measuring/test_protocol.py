from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pandas as pd
import pytest
from checkouts import ROOT
from onnx import helper
from onnx_graphs import convolutions, linear, save

from tl1bench.errors import MeasurementError
from tl1bench.measuring import (
    measure,
    negative_control,
    profile,
    repeatability,
)
from tl1bench.measuring.graphs import count_convolutions, read_graph
from tl1bench.measuring.modes import make_plan
from tl1bench.measuring.profiling import operators
from tl1bench.measuring.summaries import by_process, nearest_rank_us, summarize, undisturbed
from tl1bench.measuring.workers import run_worker
from tl1bench.results.repeats import add, covered_pct, read, spread_pct

COLUMNS = [
    *("model", "batch", "threads", "first_us", "min_us", "p50_us", "p90_us", "p99_us"),
    *("ratio_p50", "ratio_low", "ratio_high", "calls", "quiet_pct", "processes", "floor_us"),
    *(
        "conv_total",
        "conv_blocked",
        "conv_channels",
        "file_bytes",
        "gzip_bytes",
        "uss_load_mib",
        "uss_run_mib",
        "hwm_mib",
    ),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    wide = linear(folder / "wide.onnx", width=20_000)
    narrow = linear(folder / "narrow.onnx", width=8)
    steps = []
    result = measure(
        [wide, narrow],
        batch=(1, 4),
        processes=2,
        memory_of=[wide],
        operators_of=[wide],
        progress=lambda *step: steps.append(step),
    )
    return SimpleNamespace(result=result, steps=steps, wide=wide, narrow=narrow)


def test_the_table_has_one_row_a_model_and_setting(measured):
    table = measured.result.table
    assert list(table.columns) == COLUMNS
    assert list(table["model"]) == ["wide"] * 2 + ["narrow"] * 2 + ["floor"] * 2
    assert list(table["batch"]) == [1, 4] * 3
    assert (table["threads"] == 1).all()


def test_latencies_are_ordered_as_they_must_be(measured):
    table = measured.result.table.set_index(["model", "batch"])
    for left, right in [("min_us", "p50_us"), ("p50_us", "p90_us"), ("p90_us", "p99_us")]:
        assert (table[left] <= table[right]).all()
    assert (table["ratio_low"] <= table["ratio_p50"]).all()
    assert (table["ratio_p50"] <= table["ratio_high"]).all()
    assert (table.loc["wide", "min_us"] > 5 * table.loc["narrow", "min_us"]).all()
    assert (table.loc["wide", "ratio_p50"] == 1).all()
    assert (table.loc["narrow", "ratio_p50"] < 0.5).all()
    for model in ("wide", "narrow", "floor"):
        assert list(table.loc[model, "floor_us"]) == list(table.loc["floor", "p50_us"])
    assert (table.loc["floor", "min_us"] < table.loc["narrow", "min_us"]).all()


def test_the_table_can_be_made_again_from_the_samples(measured):
    samples = measured.result.samples
    for row in measured.result.table.itertuples():
        own = samples[(samples["model"] == row.model) & (samples["batch"] == row.batch)]
        ns = sorted(own["ns"][own["quiet"]])
        assert row.calls == len(own) >= 128
        assert row.quiet_pct == pytest.approx(100 * len(ns) / len(own))
        assert row.min_us == ns[0] / 1e3
        for name, share in {"p50_us": 50, "p90_us": 90, "p99_us": 99}.items():
            assert getattr(row, name) == ns[-(-share * len(ns) // 100) - 1] / 1e3


def test_samples_are_kept_small_and_whole(measured, tmp_path):
    samples = measured.result.samples
    assert list(samples.columns) == [
        *("model", "batch", "threads", "process", "round", "call", "ns", "probe_ns", "quiet")
    ]
    assert {str(t) for t in samples.dtypes} == {"category", "int32", "bool"}
    assert samples.groupby(["model", "batch", "process"], observed=True).ngroups == 12
    measured.result.save_samples(tmp_path / "timings" / "p.parquet")
    back = pd.read_parquet(tmp_path / "timings" / "p.parquet")
    pd.testing.assert_frame_equal(back, samples)
    assert (tmp_path / "timings" / "p.parquet").stat().st_size < 8 * len(samples)


def test_memory_is_measured_with_and_without_the_arena_where_asked(measured):
    memory = measured.result.memory
    assert list(memory["model"]) == ["wide"] * 4
    assert list(memory["arena"]) == [True, False] * 2
    weights_mib = 20_000 * 8 * 4 / 2**20
    grown = memory["uss_load_mib"] - memory["uss_empty_mib"]
    assert (grown > weights_mib).all()
    assert (memory["uss_run_mib"] > memory["uss_load_mib"] - 1).all()
    assert (memory["hwm_mib"] > memory["uss_run_mib"]).all()
    table = measured.result.table
    assert table.loc[table["model"] != "wide", "uss_run_mib"].isna().all()
    assert list(table.loc[table["model"] == "wide", "uss_run_mib"]) == list(
        memory.loc[memory["arena"], "uss_run_mib"]
    )


def test_the_record_is_json_with_none_for_the_unknown(measured):
    record = json.loads(json.dumps(measured.result.record(), allow_nan=False))
    assert record["machine"]["protocol"]["baseline"] == "wide"
    assert isinstance(record["machine"]["trusted"], bool)
    assert record["machine"]["on_cpu"] > 0
    assert [row["model"] for row in record["rows"]][::2] == ["wide", "narrow", "floor"]
    assert record["rows"][0]["uss_run_mib"] > 0
    assert record["rows"][-1]["uss_run_mib"] is None
    assert record["rows"][0]["file_bytes"] == measured.wide.stat().st_size
    assert 0 < record["rows"][0]["gzip_bytes"] != record["rows"][0]["file_bytes"]


def test_progress_counts_to_the_last_step(measured):
    totals = {total for _, total, _ in measured.steps}
    assert totals == {1 + 2 * 2 + 2 * 2 + 2}
    assert [done for done, _, _ in measured.steps] == list(range(11))


def test_operators_are_profiled_of_those_asked_for_at_every_batch(measured):
    operators = measured.result.operators
    assert set(operators["model"]) == {"wide"}
    assert list(operators["batch"]) == [1, 1, 4, 4]
    assert operators["operator"].str.contains("Gemm").all()
    assert operators.groupby("batch")["share_pct"].sum().tolist() == pytest.approx([100, 100])
    assert measured.result.record()["operators"][0]["node"]


def test_what_is_headline_only_is_timed_at_the_first_setting(tmp_path):
    paths = [linear(tmp_path / f"{name}.onnx", width) for name, width in (("a", 8), ("b", 9))]
    result = measure(paths, (1, 2), processes=1, memory_of=(), headline_only=["b"])
    timed = result.table[["model", "batch"]].to_numpy().tolist()
    assert timed == [["a", 1], ["a", 2], ["b", 1], ["floor", 1], ["floor", 2]]
    refuse("'a' is the baseline", paths, headline_only=["a"])


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


def test_the_text_marks_what_must_not_be_trusted(measured):
    text = str(measured.result)
    assert "narrow" in text
    assert "nan" not in text
    assert "Fewer than the 5 processes" in text
    machine = {**measured.result.machine, "trusted": False, "reason": "others were at work"}
    doubted = type(measured.result)(
        **{**vars(measured.result), "machine": machine},
    )
    assert "NOT TO BE TRUSTED: others were at work." in str(doubted)


def test_two_threads_and_labels_and_a_baseline_of_ones_own(tmp_path):
    paths = [linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx", 500)]
    result = measure(
        paths, threads=2, processes=1, labels=["x/a", "x/b"], baseline=paths[1], memory_of=()
    )
    table = result.table.set_index("model")
    assert list(table.index) == ["x/a", "x/b", "floor"]
    assert table.loc["x/b", "ratio_p50"] == 1.0
    assert result.machine["protocol"]["baseline"] == "x/b"
    assert result.machine["on_cpu"] is None
    assert result.memory.empty


def refuse(words, paths, **options):
    with pytest.raises(MeasurementError, match=words) as caught:
        measure(paths, processes=1, memory_of=(), **options)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_measured_is_refused_in_one_sentence(tmp_path):
    good = linear(tmp_path / "good.onnx")
    other = linear(tmp_path / "other.onnx", features=9)
    fixed = linear(tmp_path / "fixed.onnx", batch=1)
    (tmp_path / "text.onnx").write_text("not a model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    unknown = save(
        tmp_path / "unknown.onnx",
        [helper.make_node("NoSuchOperator", ["x"], ["y"])],
        {},
        {"x": ["batch", 8]},
        {"y": ["batch", 8]},
    )
    refuse("no.onnx does not exist", [good, tmp_path / "no.onnx"])
    refuse("text.onnx is not an ONNX file", [tmp_path / "text.onnx"])
    refuse("empty.onnx is not an ONNX file", [tmp_path / "empty.onnx"])
    refuse("unknown.onnx cannot be run", [unknown])
    refuse("'good' and 'other' take different inputs", [good, other])
    refuse(r"fixed.onnx: Input 'x' has a fixed batch of 1", [fixed], batch=2)
    refuse("No mode 'slow'", [good], mode="slow")
    refuse("batch must be", [good], batch=0)
    refuse("threads must be", [good], threads=(1, 1))
    refuse("a list of at least one", [])
    refuse("a list of at least one", str(good))
    refuse("'good' is there twice", [good, good], labels=["good", "good"])
    refuse("'floor' is there twice", [good], labels=["floor"])
    refuse("2 labels were given for 1", [good], labels=["a", "b"])
    refuse("'best' names 0 of good", [good], baseline="best")
    refuse("choose one of cpu, cuda", [good], provider="abacus")


def test_convolutional_networks_of_one_name_report_their_layouts(tmp_path):
    paths = []
    for channels in (16, 17):
        (tmp_path / str(channels)).mkdir()
        paths.append(convolutions(tmp_path / str(channels) / "m.onnx", first=channels, second=8))
    table = measure(paths, processes=1, memory_of=()).table
    assert list(table["model"]) == [str(paths[0]), str(paths[1]), "floor"]
    assert list(table["conv_channels"]) == ["16-8", "17-8", ""]
    assert list(table["conv_total"]) == [2, 2, 0]
    # 17 input channels are too many to take as they are, and no multiple of 4.
    assert table["conv_blocked"][1] <= 1
    assert table["conv_blocked"][2] == 0


def test_a_worker_that_dies_is_reported_with_its_last_words(tmp_path):
    with pytest.raises(MeasurementError, match="'juggle' ended with status 1: KeyError: 'juggle'"):
        run_worker({"task": "juggle"}, tmp_path / "job")


def test_measuring_needs_no_torch():
    code = "import sys, tl1bench as tl; tl.measure; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == "False\n"


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


def test_convolutions_are_counted_by_layout(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], domain="com.microsoft.nchwc"),
        helper.make_node("FusedConv", ["a", "w"], ["b"], domain="com.microsoft"),
        helper.make_node("ReorderOutput", ["b"], ["c"], domain="com.microsoft.nchwc"),
        helper.make_node("Conv", ["c", "w"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"w": [0]}, {"x": ["n"]}, {"y": ["n"]})
    assert count_convolutions(path) == (3, 1)


def test_weights_in_a_second_file_count(tmp_path):
    path = linear(tmp_path / "m.onnx", width=2000)
    inside = read_graph(path).file_bytes
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    files = path.stat().st_size + (tmp_path / "m.data").stat().st_size
    assert read_graph(path).file_bytes == files > inside - 100
    (tmp_path / "m.data").unlink()
    with pytest.raises(MeasurementError, match=r"keeps weights in .*m\.data, which does not exist"):
        read_graph(path)


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


def fake_measurer(ratios, busy=0):
    seen = []

    def measurer(paths, *_, seed, labels, **options):
        ratio = ratios[len(seen)]
        seen.append((seed, [Path(p).read_bytes() for p in paths], options))
        table = pd.DataFrame(
            {
                "model": [*labels, "floor"],
                "ratio_p50": [1.0, ratio, 0.1],
                "ratio_low": [1.0, ratio - 0.02, 0.1],
                "ratio_high": [1.0, ratio + 0.02, 0.1],
                "quiet_pct": [90.0, 91.0, 92.0],
                "processes": 5,
                "p50_us": [107.0, 107.0 * ratio, 5.0],
            }
        )
        calm = len(seen) > busy
        machine = {"trusted": calm, "reason": "" if calm else "others were at work"}
        machine |= {"cpu": "a processor", "versions": {"onnxruntime": "1.32.0"}}
        return SimpleNamespace(table=table, machine=machine)

    return measurer, seen


def test_sessions_are_compared_by_their_paired_ratio(tmp_path):
    paths = [linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx", 9)]
    measurer, seen = fake_measurer([0.99, 1.03, 1.0, 1.05])
    table = repeatability(paths, 4, measurer=measurer, mode="full", seed=7)
    assert [seed for seed, _, _ in seen] == [7, 8, 9, 10]
    assert seen[0][2]["memory_of"] == ()
    assert list(table["session"]) == [7, 8, 9, 10]
    assert list(table["quiet_pct"]) == [91.0] * 4
    assert list(table["dense_us_p50"]) == [107.0] * 4
    assert list(table["ratio_p50"]) == [0.99, 1.03, 1.0, 1.05]
    assert list(table["covers_one"]) == [True, False, True, False]
    assert covered_pct(table) == 50
    assert spread_pct(table) == pytest.approx(100 * 0.06 / 1.015)


def test_a_session_on_a_busy_machine_is_measured_again(tmp_path):
    files = [linear(tmp_path / f"{name}.onnx") for name in "ab"]
    measurer, seen = fake_measurer([0.9, 0.99, 1.0], busy=1)
    table = repeatability(files, 2, measurer=measurer, retries=3)
    assert [seed for seed, _, _ in seen] == [0, 0, 1]
    assert list(table["attempts"]) == [2, 1]
    assert list(table["ratio_p50"]) == [0.99, 1.0]
    measurer, _ = fake_measurer([0.9, 0.99], busy=2)
    (row,) = repeatability(files, 1, measurer=measurer, retries=1).to_dict("records")
    assert (row["trusted"], row["reason"], row["ratio_p50"]) == (False, "others were at work", 0.99)


def test_sessions_are_added_to_those_that_are_there(tmp_path):
    path = tmp_path / "sessions" / "pair.csv"
    assert read(path).empty
    measurer, _ = fake_measurer([0.99, 1.03, 1.0])
    files = [linear(tmp_path / f"{name}.onnx") for name in "ab"]
    add(path, repeatability(files, 2, measurer=measurer))
    every = add(path, repeatability(files, 1, measurer=measurer, seed=2))
    assert list(every["session"]) == [0, 1, 2]
    pd.testing.assert_frame_equal(read(path), every, check_dtype=False)
    assert read(path)["covers_one"].tolist() == [True, False, True]


def test_the_negative_control_measures_two_copies(tmp_path):
    path = linear(tmp_path / "a.onnx")
    measurer, seen = fake_measurer([1.0])
    assert covered_pct(negative_control(path, 1, measurer=measurer)) == 100
    assert seen[0][1] == [path.read_bytes()] * 2
    with pytest.raises(MeasurementError, match="does not exist"):
        negative_control(tmp_path / "no.onnx", 1, measurer=measurer)


def test_a_real_session_compares_a_file_with_its_copy(tmp_path):
    table = negative_control(linear(tmp_path / "a.onnx", 4000), 1, processes=1)
    assert table["ratio_p50"].between(0.25, 4).all()


def test_sessions_need_a_pair_and_one_setting(tmp_path):
    path = linear(tmp_path / "a.onnx")
    with pytest.raises(MeasurementError, match="two files"):
        repeatability([path])
    measurer, _ = fake_measurer([1.0])

    def at_two_batches(*arguments, **options):
        result = measurer(*arguments, **options)
        result.table = pd.concat([result.table, result.table])
        return result

    with pytest.raises(MeasurementError, match="one batch and one thread count"):
        repeatability([path, path], 1, measurer=at_two_batches)


def test_the_stage_measures_on_every_provider_that_is_there(tmp_path, monkeypatch):
    from tl1bench.pipeline.stages import measure as stage

    folder = tmp_path / "build" / "export" / "toy"
    names = ["dense", "masked", "l1/lam-1-seed-0", "integrated_tl1/lam-1-seed-0", "l1/lam-1-seed-1"]
    folder.mkdir(parents=True)
    pd.DataFrame({"model": names, "memory": [True] * 4 + [False]}).to_csv(
        folder / "models.csv", index=False
    )
    asked = []

    def measurer(_, **options):
        asked.append(options)
        samples = pd.DataFrame({"model": ["dense"], "ns": [1]})
        return SimpleNamespace(samples=samples, record=lambda: {"rows": [options["provider"]]})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "available", lambda: ("cpu", "cuda"))
    monkeypatch.setattr(stage, "measure", measurer)
    settings = SimpleNamespace(batches=(64, 1), threads=(1,), mode="quick", processes=5)
    config = SimpleNamespace(
        build=tmp_path / "build", reports=tmp_path / "reports", profile="p", measure=settings
    )
    stage.run(config, "toy")
    on_cpu, on_gpu = asked
    assert on_cpu["batch"] == [1, 64]
    assert on_cpu["headline_only"] == ["l1/lam-1-seed-1"]
    assert on_cpu["operators_of"] == ["dense", "masked", "integrated_tl1/lam-1-seed-0"]
    assert (on_cpu["memory_of"], on_gpu["memory_of"]) == (names[:4], ())
    shared = {"provider", "memory_of", "progress"}
    assert {k: v for k, v in on_cpu.items() if k not in shared} == {
        k: v for k, v in on_gpu.items() if k not in shared
    }
    record = json.loads((tmp_path / "reports/measure/toy.json").read_text())
    assert record == {"rows": ["cpu"], "cuda": {"rows": ["cuda"]}}
    samples = pd.read_parquet(tmp_path / "reports/timings/toy.parquet")
    assert list(samples["provider"]) == ["cpu", "cuda"]
