from __future__ import annotations

import json
import time

import pytest

from tl1bench.measuring import machine
from tl1bench.measuring.machine import Load, Watch


def at(wall_s: float, busy_s: float = 0.0, own_s: float = 0.0, average: float = 0.0) -> Load:
    return Load(wall_s, busy_s, own_s, (average, 0.0, 0.0), cores=4)


def watched(before=0.0, during=0.0, after=0.0, own=0.0, average=0.0) -> Watch:
    """A second before, ten during, one after, with so many cores used by others."""
    start = at(0, average=average)
    looked = at(1, before)
    end = at(11, before + 10 * (during + own), 10 * own)
    return Watch((start, looked), (end, at(12, end.busy_s + after, end.own_s)))


def test_others_are_what_we_did_not_use_ourselves():
    assert machine.others(at(0), at(10, busy_s=15, own_s=10)) == pytest.approx(0.5)
    assert machine.others(at(0), at(10, busy_s=9, own_s=10)) == 0.0
    assert machine.others(at(3), at(3, busy_s=1)) == 0.0


def test_our_own_work_makes_no_machine_busy():
    assert machine.busy(watched(own=1.0)) == ""


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_others_work_makes_it_busy_at_any_time(when):
    assert machine.busy(watched(**{when: 0.9})) == ""
    reason = machine.busy(watched(**{when: 1.2}))
    assert when in reason
    assert "1.20 of 4 cores" in reason


def test_threads_need_cores_of_their_own():
    assert machine.busy(watched(during=0.5), threads=3) == ""
    assert "left 3.50 cores" in machine.busy(watched(during=0.5), threads=4)
    assert "left 4.00 cores" in machine.busy(watched(), threads=5)


def test_an_overload_counts_even_if_it_pauses():
    assert machine.busy(watched(average=5.0)) == ""
    assert "load average was 7.00" in machine.busy(watched(average=7.0))


def test_a_worker_that_was_pushed_aside_is_not_trusted():
    assert machine.trust(watched(), (1,), on_cpu=0.99)["trusted"] is True
    assert machine.trust(watched(), (1,), on_cpu=None)["trusted"] is True
    found = machine.trust(watched(), (1,), on_cpu=0.8)
    assert found["trusted"] is False
    assert "80%" in found["reason"]


def test_too_few_undisturbed_calls_are_not_trusted():
    assert machine.trust(watched(), (1,), quiet={1: 0.3})["trusted"] is True
    found = machine.trust(watched(), (1,), quiet={1: 0.2})
    assert found["trusted"] is False
    assert "80% of the timed calls" in found["reason"]


def test_a_doubt_about_more_threads_leaves_one_thread_trusted():
    found = machine.trust(watched(during=0.5), (1, 4))
    assert found["trusted"] is True
    assert found["reasons"]["1"] == ""
    assert "left 3.50 cores" in found["reasons"]["4"]


def test_a_look_sleeps_between_its_samples():
    slept = []
    samples = iter([at(1), at(2)])
    assert machine.look(0.5, lambda: next(samples), slept.append) == (at(1), at(2))
    assert slept == [0.5]


def test_load_sees_our_own_work():
    start = machine.load()
    end_s = time.process_time() + 0.1
    while time.process_time() < end_s:
        pass
    end = machine.load()
    assert end.own_s - start.own_s >= 0.08
    assert end.busy_s - start.busy_s >= 0.08
    assert end.wall_s > start.wall_s
    assert end.cores >= 1


def test_the_record_names_the_machine_and_fits_into_json():
    record = machine.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["cpu"]
    assert record["versions"]["onnxruntime"][0].isdigit()
    assert record["versions"]["tl1bench"][0].isdigit()


def test_only_flags_that_choose_kernels_are_recorded(tmp_path, monkeypatch):
    text = "processor : 0\nmodel name : Fast 9000\nflags : fpu avx2 sse4_2 fma ht\n"
    (tmp_path / "cpuinfo").write_text(text + text)
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path / "cpuinfo")
    assert machine._cpu() == ("Fast 9000", ["avx2", "fma", "sse4_2"])


def test_a_package_that_is_not_there_has_an_unknown_version():
    assert machine.version("no-such-package-anywhere") == "unknown"
    assert machine.version("no-such-package-anywhere", "numpy") == machine.version("numpy")


def test_a_machine_is_itself_until_what_timings_depend_on_is_another(monkeypatch):
    own = machine.identity()
    assert own == machine.identity()
    assert own["cpu"] == machine.record()["cpu"]
    # The kernel's release, free memory and the like may change without timing anything anew.
    same = {**machine.record(), "system": "Linux 99", "memory_gib": 1.0, "governor": "other"}
    monkeypatch.setattr(machine, "record", lambda: same)
    assert machine.identity() == own
    for other in (
        {"cpu": "another"},
        {"cpu_flags": []},
        {"cores_allowed": 99},
        {"gpus": ["one"]},
        {"versions": {**same["versions"], "onnxruntime": "0"}},
    ):
        monkeypatch.setattr(machine, "record", lambda other=other: {**same, **other})
        assert machine.identity() != own
