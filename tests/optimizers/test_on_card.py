"""Steps on a card give what torch gives, by Triton's interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
from interpreting import run_interpreted


def test_steps_hold_in_tritons_interpreter() -> None:
    pytest.importorskip("triton")
    run_interpreted(Path(__file__).with_name("interpreted_steps.py"))
