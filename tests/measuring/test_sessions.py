"""Whole measurements, repeated."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from onnx_graphs import linear

from tl1bench.errors import MeasurementError
from tl1bench.measuring import (
    negative_control,
    repeatability,
)
from tl1bench.results.repeats import add, covered_pct, read, spread_pct


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


@pytest.mark.usefixtures("brief")
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
