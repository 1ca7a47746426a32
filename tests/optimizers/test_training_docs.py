"""Every example of docs/training.md runs as it stands there, and ends with zeros."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from checkouts import ROOT

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python ?(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SETUP = next(code for word, code in BLOCKS if word == "setup")
EXAMPLES = [(word, code) for word, code in BLOCKS if word != "setup"]


def run(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    for code in blocks:
        exec(compile(code, "docs/training.md", "exec"), names)
    return names


def test_the_page_has_its_examples() -> None:
    assert len(EXAMPLES) >= 7
    assert {"lightning", "transformers"} <= {word for word, _ in EXAMPLES}


@pytest.mark.parametrize("number", [i for i, (word, _) in enumerate(EXAMPLES) if not word])
def test_an_example_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(SETUP, EXAMPLES[number][1])
    if "scaler" in names:
        assert (names["model"][0].weight == 0).any()
        assert names["small"].report.weights_after <= names["small"].report.weights_before
    capsys.readouterr()


@pytest.mark.parametrize("extra", ["lightning", "transformers"])
def test_a_trainer_of_others_makes_exact_zeros(extra: str, tmp_path: Path) -> None:
    if find_spec(extra) is None:
        pytest.skip(f"{extra} is not installed: pip install tl1bench[{extra}]")
    code = next(code for word, code in EXAMPLES if word == extra)
    # In a process of its own: it looks for packages by names that folders of these tests have.
    done = subprocess.run(
        [sys.executable, "-c", f"{SETUP}\n{code}\nassert (model[0].weight == 0).any()"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
