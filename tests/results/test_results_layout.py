"""Names of files and folders, which every stage takes from one place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import ROOT

from tl1bench.results import Run, layout

NAMES = [
    value
    for name, value in vars(layout).items()
    if name.isupper() and isinstance(value, str) and re.fullmatch(r"\w+\.\w+", value)
]


def test_a_run_is_named_by_its_lambda_and_seed():
    run = Run("digits-mlp", "l1", 3, 1)
    assert run.name == "step-03-seed-1"
    assert run.model == "l1/step-03-seed-1"
    assert run.folder == Path("digits-mlp/l1/step-03-seed-1")
    assert run.folder.match(layout.ANY_RUN)


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_is_typed_in_one_place(name):
    files = [p for p in (ROOT / "tl1bench").rglob("*.py") if p.name != "layout.py"]
    template = name.endswith(".html")  # names a template beside its module, too
    typed = [p.name for p in files if f'"{name}"' in p.read_text(encoding="utf-8")]
    assert template or not typed


def test_results_are_read_without_scipy_matplotlib_or_torch():
    code = (
        "import sys, tl1bench.results, tl1bench.results.evidence; "
        "print({'scipy', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
