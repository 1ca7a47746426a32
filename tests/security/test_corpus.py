"""Hostile files of every format, read as a user reads them: refused, nothing run, little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

WITH_TORCH = ("safetensors", "pt2", "examples")
WITHOUT = ("onnx", "data set", "yaml", "mirror")
Result = dict[str, Any]


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """What came of every file, from processes whose memory is limited."""
    root = str(tmp_path_factory.mktemp("attacks"))
    run("hostile_corpus.py", root)  # in a process of its own: writing them takes memory
    said = [run("attacked.py", root, *kinds) for kinds in (WITHOUT, WITH_TORCH)]
    return [json.loads(line) for lines in said for line in lines.splitlines()]


def but(results: list[Result], fine: Any) -> list[str]:
    return [f"{r['kind']}, {r['what']}: {r}" for r in results if not fine(r)]


def test_there_are_many_of_each_kind(results: list[Result]) -> None:
    counts = Counter(r["kind"] for r in results)
    assert set(counts) == {*WITHOUT, *WITH_TORCH}
    assert sum(counts.values()) >= 60
    assert min(counts.values()) >= 3


@pytest.mark.parametrize("kind", [*WITHOUT, *WITH_TORCH])
def test_each_is_refused_in_one_sentence_with_status_2(kind: str, results: list[Result]) -> None:
    def fine(r: Result) -> bool:
        said = r["said"]
        one = said.startswith("tl1bench: ") and said.count("\n") == 1 and said.endswith("\n")
        return r["status"] == 2 and one and len(said) < 1000

    assert but([r for r in results if r["kind"] == kind], fine) == []


def test_none_of_them_ran_or_wrote_anything(results: list[Result]) -> None:
    assert but(results, lambda r: not r["ran"] and not r["wrote"]) == []


def test_none_of_them_took_the_memory_or_the_time(results: list[Result]) -> None:
    # All that Python, torch and onnxruntime are is in it.
    assert but(results, lambda r: r["peak_mib"] < 1024) == []
    assert but(results, lambda r: r["cpu_seconds"] < 20) == []
