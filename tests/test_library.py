"""The library part needs few packages, and says in one sentence what else a name needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import tl1bench
from tl1bench.errors import MissingPackageError, needed_by

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "library_alone.py"
PACKAGES = ("torch", "numpy", "scipy", "safetensors", "tabulate", "rich")


def found(cache: Path, *packages: str) -> dict[str, Any]:
    """Return what the script sees where only `packages` are, and no C compiler."""
    alone = {**os.environ, "PATH": str(cache), "TL1BENCH_CACHE": str(cache)}
    alone.pop("CC", None)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), ",".join(packages)],
        capture_output=True, text=True, env=alone, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return found(tmp_path_factory.mktemp("cache"), *PACKAGES)


def test_a_network_is_trained_compacted_and_saved_with_six_packages(bare: dict[str, Any]) -> None:
    assert bare["small"] == {"smaller": True, "same": True, "steps": 2, "checked": 2}


def test_only_what_reads_onnx_files_or_draws_tables_asks_for_more(bare: dict[str, Any]) -> None:
    lacking = {name for name, sentence in bare["told"].items() if sentence}
    assert lacking == {"accuracy", "export_onnx", "measure", "tune"}
    for name in lacking:
        assert re.fullmatch(
            rf"MissingPackageError: tl1bench\.{name} needs the package (onnx|pandas), "
            r"which is not installed: pip install \1\.",
            bare["told"][name],
        )


def test_export_needs_onnx_and_onnxruntime_besides(tmp_path: Path) -> None:
    told = found(tmp_path, *PACKAGES, "onnx", "onnxruntime")["told"]
    assert told["export_onnx"] == told["accuracy"] == ""


def test_the_six_packages_are_those_that_the_project_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", line) for line in project["dependencies"]]
    assert sorted(n[0] for n in names if n) == sorted(PACKAGES)
    listed = re.search(r"library\s+needs ([\w, ]+) and (\w+) alone", tl1bench.__doc__ or "")
    assert listed is not None
    assert (*listed[1].split(", "), listed[2]) == PACKAGES


def test_a_missing_module_is_named_as_it_is_installed() -> None:
    sentence = "This needs the package pyyaml, which is not installed: pip install pyyaml."
    with pytest.raises(MissingPackageError, match=re.escape(sentence)), needed_by("This"):
        raise ModuleNotFoundError("No module named 'yaml'", name="yaml")


def test_a_missing_module_of_our_own_is_a_fault_not_a_package() -> None:
    with pytest.raises(ModuleNotFoundError), needed_by("This"):
        raise ModuleNotFoundError("No module named 'tl1bench.x'", name="tl1bench.x")
