"""A process that trains: how it is set up."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from tl1bench.training import prepare_process
prepare_process()
for _ in range(4):
    torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone can be told so")
def test_a_process_that_trains_keeps_the_memory_that_it_had() -> None:
    found = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < 1000  # of 16,384 pages of 4 KiB
