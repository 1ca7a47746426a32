"""A path that two processes walk together, each on data of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    meeting = tmp_path_factory.mktemp("ranks") / "meeting"
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(meeting)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def test_all_ranks_hold_the_same_weights_and_zeros_at_every_point(
    ranks: list[dict[str, Any]],
) -> None:
    first, second = ranks
    assert len(first["states"]) >= 3
    for what in ("levels", "errors", "architectures", "nonzero_weights", "weights", "states"):
        assert first[what] == second[what]


def test_the_ranks_learnt_from_data_of_their_own(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["losses"] != ranks[1]["losses"]


def test_the_network_became_smaller_and_stayed_good(ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["nonzero_weights"][-1] < ranks[0]["nonzero_weights"][0]
    assert ranks[0]["weights"][-1] < ranks[0]["weights"][0]
    assert ranks[0]["errors"][0] < 20  # guessing has 75
