"""The proof on a card, dry: every part runs on the CPU in tiny sizes, by Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from checkouts import ROOT

from tl1bench import load_compacted, optimizers, penalties

pytest.importorskip("triton")

ENVIRONMENT = {
    **os.environ, "PYTHONPATH": str(ROOT),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
}  # fmt: skip


def proved(folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = subprocess.run(
        [str(ROOT / "tools" / "gpu_proof.sh"), str(folder), "--dry", *options],
        capture_output=True, text=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    return done, json.loads((folder / "proof.json").read_text())


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("proof")
    done, result = proved(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, result


def test_every_part_runs_and_every_check_holds(dry: tuple[Path, str, dict[str, Any]]) -> None:
    _, said, result = dry
    assert result["failed"] == {}
    assert list(result["parts"]) == ["checks", "steps", "walk", "many", "cutting", "latency"]
    checks = result["parts"]["checks"]
    assert [row["what"] for row in checks if not row["held"]] == []
    told = " ".join(row["what"] for row in checks)
    assert all(name in told for name in (*optimizers.names(), *penalties.names()))
    assert all(f"prox of {name}:" in told for name in penalties.names())
    assert "a path that is killed goes on bit for bit" in told
    assert "network and step compiled" in told
    assert f"checks: {len(checks)} of {len(checks)} hold" in said
    assert result["machine"]["card"] is None


def test_every_penalty_of_a_step_stands_beside_sgd_and_a_floor(
    dry: tuple[Path, str, dict[str, Any]],
) -> None:
    rows = dry[2]["parts"]["steps"]
    assert rows[0]["gb_per_s"] > 0
    timed = [row for row in rows if "eager_to_sgd" in row]
    assert len(timed) == 2 * 6
    assert all(row["eager_us"] > row["floor_us"] > 0 for row in timed)


def test_runs_together_stand_beside_one_after_another(
    dry: tuple[Path, str, dict[str, Any]],
) -> None:
    one, two = dry[2]["parts"]["many"]
    assert one["in_turn_per_s"] > 0
    assert two["processes_to_one"] == pytest.approx(two["processes_per_s"] / one["in_turn_per_s"])


def test_what_was_cut_is_smaller_and_widths_come_in_multiples(
    dry: tuple[Path, str, dict[str, Any]],
) -> None:
    before, multiples, exact, dense, *aligned = dry[2]["parts"]["cutting"]
    assert exact["weights"] < multiples["weights"] < before["weights"] == dense["weights"]
    counts = [row["weights"] for row in (*aligned, dense)]
    assert counts[0] < counts[1] <= counts[2] == counts[3]


def test_the_networks_of_the_path_can_be_read(dry: tuple[Path, str, dict[str, Any]]) -> None:
    folder, _, result = dry
    points = result["parts"]["walk"][1:]
    assert points
    for point in points:
        network = load_compacted(folder / f"step-{int(point['what'].split()[1]):02}.safetensors")
        with torch.no_grad():
            assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)
        assert point["read_back_differs"] < 1e-5


def test_parts_can_be_skipped_are_broken_off_and_do_not_begin_when_time_is_over(
    tmp_path: Path,
) -> None:
    done, result = proved(tmp_path, "--skip", "checks", "steps", "walk", "many", "cutting")
    assert done.returncode == 0, done.stderr
    assert list(result["parts"]) == ["latency"]
    assert result["failed"]["walk"] == "skipped"
    done, result = proved(tmp_path, "--seconds", "6.4")
    assert done.returncode == 1
    assert result["failed"].pop("checks") == "broken off after 2 s"
    assert set(result["failed"].values()) == {"no time was left"}


STUCK = """
import signal, sys, time, types
from tools.gpu_proof import __main__ as proof

def run(given):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(60)
    yield {}

sys.modules["tools.gpu_proof.steps"] = types.SimpleNamespace(run=run)
proof.GRACE = 1
sys.exit(proof.main([sys.argv[1], "--dry", "--seconds", "5.5", "--skip", "checks"]))
"""


def test_a_part_that_cannot_be_broken_off_ends_with_the_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK, str(tmp_path)], timeout=50,
        capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 1
    assert "proof: ended after 6" in done.stdout
    assert "proof" in json.loads((tmp_path / "proof.json").read_text())["failed"]


UNLAUNCHED = """
import torch
from tl1bench.kernels import card

def broken(*arguments):
    raise RuntimeError("Failed to find C compiler.")

card.first_pass_ = broken
cpu = torch.device("cpu")
from tools.gpu_proof import aside, checks

print(aside.probed(cpu), card.takes(torch.ones(8)), all(row["held"] for row in checks._again(cpu)))
"""


def test_where_triton_launches_nothing_steps_go_through_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNLAUNCHED], capture_output=True, text=True, check=False, cwd=ROOT,
        env={**ENVIRONMENT, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.stdout.split(": ", 1)[1] == "RuntimeError: Failed to find C compiler. False True\n"


def test_without_a_card_the_real_run_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.gpu_proof", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode != 0
    assert "there is no card here: --dry runs" in done.stderr
