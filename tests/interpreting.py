"""Tests that Triton's interpreter runs, in a process of their own: Triton asks once whether to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from checkouts import ROOT


def run_interpreted(file: Path) -> None:
    """Run the tests in `file` with the interpreter on; they must pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name],
        cwd=file.parent, capture_output=True, text=True, check=False,
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
