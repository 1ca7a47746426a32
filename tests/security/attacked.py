"""Read every hostile file as a user would, and write what came of it, one JSON line a file.

Usage: python attacked.py FOLDER KIND …; `hostile_corpus.py` has filled the folder. One process for
many files: importing takes longer than the rest. Without networks among them, torch is not there.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from tl1bench import cli, errors

ROOM = 1 << 30
Answer = tuple[int | str | None, str]
SETTINGS = """
profile: t
seeds: [0]
datasets: {blobs: {path: data/blobs/NAME}, mnist: {}, cifar10: {}}
problems:
  p: {dataset: blobs, network: {name: mlp}, validation: 1,
      budget: {batch: 1, epochs: 1, lr: 0.1}}
methods: {l1: {lam: [0.1]}}
"""


def tl1bench(*arguments: str) -> Answer:
    """Return the exit status of a command and what it said."""
    said = io.StringIO()
    sys.argv = ["tl1bench", *arguments]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            return end.code, said.getvalue()
    return None, said.getvalue()


def load(path: Path) -> Answer:
    import torch

    from tl1bench.compaction import load_compacted

    try:
        load_compacted(path)(torch.zeros(2, 3))
    except errors.CompactionError as error:
        return 2, f"tl1bench: {error}\n"
    return 0, ""


def measure(path: Path) -> Answer:
    return tl1bench("measure", str(path))


def compact(path: Path) -> Answer:
    return tl1bench("compact", str(path), "-o", "out.onnx")


def fingerprint(path: Path) -> Answer:
    Path("params.yaml").write_text(SETTINGS.replace("NAME", path.name))
    target = Path("data/blobs") / path.name
    target.parent.mkdir(parents=True)
    path.rename(target)
    return tl1bench("fingerprint", "--dataset", "blobs")


def _peak_mib() -> float:
    # Not ru_maxrss: that begins with what the process that started this one had.
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


def settings(path: Path) -> Answer:
    return tl1bench("list", "--params", str(path))


def mirror(folder: Path) -> Answer:
    Path("params.yaml").write_text(SETTINGS.replace("NAME", "x.npz"))
    name = "mnist" if (folder / "MNIST").is_dir() else "cifar10"
    return tl1bench("data", name, "--mirror", str(folder), "--quiet")


def check_on(path: Path) -> Answer:
    """Read a .npz file of examples."""
    return tl1bench(
        "compact", str(path.parent.parent / "good.pt2"), "-o", "out.onnx", "--data", str(path)
    )


READ: dict[str, Callable[[Path], Answer]] = {
    "safetensors": load,
    "pt2": compact,
    "onnx": measure,
    "data set": fingerprint,
    "examples": check_on,
    "yaml": settings,
    "mirror": mirror,
}


def main(root: Path, kinds: list[str]) -> None:
    warnings.simplefilter("ignore")
    os.chdir(root)
    # What an honest file takes is there before the limit is set: libraries above all.
    if "pt2" in kinds:
        assert compact(root / "good.pt2")[0] in (None, 0)
    for module in ("tl1bench.measuring", "tl1bench.datasets", "pandas"):
        importlib.import_module(module)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for attack in json.loads((root / "index.json").read_text()):
        if attack["kind"] not in kinds:
            continue
        folder = Path(attack["folder"])
        os.chdir(folder)
        gc.collect()
        began = time.process_time()
        try:
            status, said = READ[attack["kind"]](Path(attack["file"]))
        except BaseException as error:
            status, said = f"{type(error).__name__}: {error}", ""
        result = {
            **attack,
            "status": status,
            "said": said,
            "ran": (folder / "RAN").exists(),
            "wrote": (folder / "out.onnx").exists() or (root / "outside").exists(),
            "cpu_seconds": time.process_time() - began,
            "peak_mib": _peak_mib(),
        }
        print(json.dumps(result), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
