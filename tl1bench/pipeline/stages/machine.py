"""Say what machine this is, anew in every run: timings of another one are measured again."""

from __future__ import annotations

from tl1bench import files
from tl1bench.config import Config
from tl1bench.measuring import machine
from tl1bench.runtime import available


def run(config: Config) -> None:
    """Write `machine.json`: processor, cores, GPUs, and onnxruntime with what it can run on.

    The same machine writes the same bytes, so nothing that depends on them runs again.
    """
    found = {**machine.identity(), "providers": available()}
    files.write_json(config.build / "machine.json", found)
