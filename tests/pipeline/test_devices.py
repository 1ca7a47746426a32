"""How runs are spread over cards, told by an nvidia-smi of the test's own: no card is needed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tl1bench.pipeline import devices, processes
from tl1bench.pipeline.devices import RUN_MIB, Card

TWO = f"0, GPU-aa, {4 * RUN_MIB}\\n1, GPU-bb, {2 * RUN_MIB + 5}\\n"


def driver(monkeypatch: pytest.MonkeyPatch, folder: Path, said: str, status: int = 0) -> None:
    """Put an nvidia-smi in front of whatever the machine has."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '{said}'\nexit {status}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(devices, "_usable", lambda: True)
    monkeypatch.delenv(devices.VISIBLE, raising=False)


def names(device: str) -> list[str]:
    return [card.name for card in devices.cards(device)]


def test_auto_means_all_cards_a_number_one_and_cpu_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(monkeypatch, tmp_path, TWO)
    assert devices.cards("auto") == [Card("GPU-aa", 4 * RUN_MIB), Card("GPU-bb", 2 * RUN_MIB + 5)]
    assert names("cuda") == ["GPU-aa", "GPU-bb"]
    assert names("cuda:1") == ["GPU-bb"]
    assert names("cuda:7") == names("cpu") == []


def test_cards_that_are_hidden_from_us_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(monkeypatch, tmp_path, TWO)
    for asked, found in {
        "1": [Card("1", 2 * RUN_MIB + 5)], "GPU-aa": [Card("GPU-aa", 4 * RUN_MIB)],
        "MIG-x": [Card("MIG-x", RUN_MIB)], "": [], "-1": [],
    }.items():  # fmt: skip
        monkeypatch.setenv(devices.VISIBLE, asked)
        assert devices.cards("auto") == found, asked


def test_a_driver_that_fails_has_no_cards_and_unknown_memory_takes_one_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(monkeypatch, tmp_path, "No devices were found\\n", status=6)
    assert devices.cards("auto") == []
    driver(monkeypatch, tmp_path, "0, GPU-cc, [N/A]\\n")
    assert devices.count("auto", devices.cards("auto")) == 1
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert devices.cards("auto") == []


@pytest.mark.parametrize(("python", "cards"), [("/bin/false", 0), ("/bin/true", 2)])
def test_cards_count_where_torch_can_use_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, python: str, cards: int
) -> None:
    usable = devices._usable
    driver(monkeypatch, tmp_path, TWO)
    monkeypatch.setattr(devices, "_usable", usable)
    monkeypatch.setattr(sys, "executable", python)
    assert len(devices.cards("auto")) == cards


def test_free_memory_and_cores_bound_what_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)))
    assert devices.count("auto", ()) == 5
    assert devices.count("auto", [Card("a", 4 * RUN_MIB), Card("b", 3 * RUN_MIB)]) == 5
    assert devices.count("auto", [Card("a", RUN_MIB), Card("b", 2 * RUN_MIB + 5)]) == 3
    assert devices.count("auto", [Card("full", 7)]) == 1
    assert devices.count(24, [Card("full", 7)]) == 24


def test_the_card_with_most_room_is_next() -> None:
    there = [Card("a", 4 * RUN_MIB), Card("b", 2 * RUN_MIB + 5)]
    assert devices.places(there, 6) == ["a", "a", "b", "a", "b", "a"]


def meet(folder: Path, tick: processes.Tick) -> tuple[int, str]:  # noqa: ARG001
    """Wait for the other process, so that none does the work of both."""
    (folder / str(os.getpid())).touch()
    late = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < late:
        time.sleep(0.02)
    return os.getpid(), os.environ[devices.VISIBLE]


def test_processes_side_by_side_are_shown_a_card_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(monkeypatch, tmp_path, "0, GPU-aa, 9000\\n1, GPU-bb, 9000\\n")
    (tmp_path / "met").mkdir()
    found = processes.each(meet, [tmp_path / "met"] * 2, 2, "met", device="auto")
    assert len({process for process, _ in found}) == 2
    assert {card for _, card in found} == {"GPU-aa", "GPU-bb"}
    assert devices.VISIBLE not in os.environ


def test_each_process_takes_another_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setenv(devices.VISIBLE, "")
    shown = []
    for _ in range(3):
        devices.take(tmp_path, ["a", "b", "a"])
        shown.append(os.environ[devices.VISIBLE])
    assert shown == ["a", "b", "a"]
    for handle in devices._held:
        os.close(handle)
    devices.take(tmp_path, ["a", "b", "a"])
    assert os.environ[devices.VISIBLE] == "a"
