"""`tl1bench run` refuses a second pipeline in a checkout whose first one is still at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tl1bench.errors import Tl1benchError
from tl1bench.pipeline import run


def test_a_pipeline_that_outlived_its_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "dvc").mkdir()
    (tmp_path / "dvc/__init__.py").touch()
    (tmp_path / "dvc/__main__.py").write_text("import sys\nprint(flush=True)\nsys.stdin.read()\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text(
        "datasets: {digits: {}}\n"
        "problems: {p: {dataset: digits, network: {name: mlp}}}\n"
        "methods: {dense: {penalty: l2, lam: 1.0e-4}}\n"
    )
    command = [sys.executable, "-m", "dvc", "repro", "dvc.yaml"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as left:  # type: ignore[call-overload]
        left.stdout.readline()
        said = rf"still running in \S+, as process {left.pid}: wait for it, or stop it by `kill"
        with pytest.raises(Tl1benchError, match=said):
            run.run("default", tmp_path)
        left.communicate()
    run._refuse_a_second(tmp_path)
