"""The protocol measures what it says, and refuses what cannot be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from checkouts import ROOT
from onnx import helper
from onnx_graphs import convolutions, linear, save

from tl1bench.errors import MeasurementError
from tl1bench.measuring import (
    measure,
)
from tl1bench.measuring.workers import run_worker

pytestmark = pytest.mark.usefixtures("brief")
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
    *("added_load_mib", "added_load_ratio", "added_peak_mib", "added_peak_ratio"),
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
    assert list(memory["model"]) == ["wide"] * 4 + ["floor"] * 4
    assert list(memory["arena"]) == [True, False] * 4
    assert (memory["processes"] == 2).all()
    weights_mib = 20_000 * 8 * 4 / 2**20
    wide, floor = (memory[memory["model"] == name] for name in ("wide", "floor"))
    # Weights are the model's own; what onnxruntime takes for itself, 38 times as much, is not.
    for column in ("added_load_mib", "added_peak_mib"):
        assert (wide[column] > weights_mib).all()
        assert (wide[column] < 20 * weights_mib).all()
        assert (floor[column] == 0).all()
    assert (memory["uss_run_mib"] > memory["uss_load_mib"] - 1).all()
    assert (memory["hwm_mib"] > memory["uss_run_mib"]).all()
    table = measured.result.table
    assert table.loc[table["model"] == "narrow", "uss_run_mib"].isna().all()
    assert list(table.loc[table["model"] == "wide", "uss_run_mib"]) == list(
        wide.loc[wide["arena"], "uss_run_mib"]
    )


def test_the_record_is_json_with_none_for_the_unknown(measured):
    record = json.loads(json.dumps(measured.result.record(), allow_nan=False))
    assert record["machine"]["protocol"]["baseline"] == "wide"
    assert isinstance(record["machine"]["trusted"], bool)
    assert record["machine"]["on_cpu"] > 0
    assert [row["model"] for row in record["rows"]][::2] == ["wide", "narrow", "floor"]
    assert record["rows"][0]["uss_run_mib"] > 0
    assert record["rows"][2]["uss_run_mib"] is None
    assert record["memory"][-1]["added_load_ratio"] == 0
    assert record["rows"][0]["file_bytes"] == measured.wide.stat().st_size
    assert 0 < record["rows"][0]["gzip_bytes"] != record["rows"][0]["file_bytes"]


def test_progress_counts_to_the_last_step(measured):
    totals = {total for _, total, _ in measured.steps}
    assert totals == {1 + 2 * 2 + 2 * 2 * 2 * 2 + 2}
    assert [done for done, _, _ in measured.steps] == list(range(23))


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
