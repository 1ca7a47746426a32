"""The regression gate lets the code as it is pass, and stops a prox that works three times."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPEATED = """
import sys
from benchmarks import gate
from tl1bench.penalties.tl1 import TransformedL1

once = TransformedL1.prox

def repeated(self, *arguments):
    for _ in range({times} - 1):
        once(self, *arguments)
    return once(self, *arguments)

TransformedL1.prox = repeated
sys.argv = ["gate", "--only", "prox tl1 /"]
raise SystemExit(gate.main())
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_our_code_is_as_fast_as_recorded() -> None:
    done = run("-m", "benchmarks.gate")
    assert done.returncode == 0, (
        f"{done.stdout}{done.stderr}\nWhere that is meant: python -m benchmarks.gate --write"
    )
    assert done.stdout.count(" ok\n") >= 8


def test_a_prox_that_works_three_times_does_not_pass() -> None:
    done = run("-c", REPEATED.format(times=3))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "SLOWER" in done.stdout
