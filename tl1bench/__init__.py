"""Reproducible benchmarks and exact compression export for integrated transformed-ℓ1 networks.

The flow goes one way: params.yaml → data → train → compact → export → measure → report.

* `penalties` hold value and proximal operator of each regulariser, one file each;
* `ProximalSGD`, `ProximalAdam` and `RMDA` are torch optimisers that make exact zeros with them;
* `check` says before training what of a network is penalised and what could leave it;
* `path` makes a network sparser step by step, by a penalty or another of the `methods`, and returns
  a finished network for each step;
* `compact` removes every neuron that provably cannot matter and changes nothing else;
* `tune` does so too, and adds indices or padding where they are faster by measurement;
* `export_onnx` writes one ONNX file, checked against torch;
* `measure` times such files in processes without torch.

Importing this package does not import torch: every public name is loaded at first use. The library
needs torch, numpy, scipy, safetensors, tabulate and rich alone; a name that needs another package
says so in one sentence where it is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tl1bench.errors import needed_by

__version__ = "0.1.0"

_HOMES = {
    "Compacted": "tl1bench.compaction",
    "CompactionError": "tl1bench.errors",
    "ConfigError": "tl1bench.errors",
    "DataError": "tl1bench.errors",
    "ExportError": "tl1bench.errors",
    "MeasurementError": "tl1bench.errors",
    "ProximalAdam": "tl1bench.optimizers",
    "ProximalSGD": "tl1bench.optimizers",
    "RMDA": "tl1bench.optimizers",
    "Tl1benchError": "tl1bench.errors",
    "accuracy": "tl1bench.export",
    "check": "tl1bench.optimizers",
    "compact": "tl1bench.compaction",
    "export_onnx": "tl1bench.export",
    "load_compacted": "tl1bench.compaction",
    "measure": "tl1bench.measuring",
    "path": "tl1bench.methods",
    "tune": "tl1bench.tuning",
}
_ROOMS = ("datasets", "methods", "models", "optimizers", "penalties")

__all__ = [
    "RMDA",
    "Compacted",
    "CompactionError",
    "ConfigError",
    "DataError",
    "ExportError",
    "MeasurementError",
    "ProximalAdam",
    "ProximalSGD",
    "Tl1benchError",
    "accuracy",
    "check",
    "compact",
    "datasets",
    "export_onnx",
    "load_compacted",
    "measure",
    "methods",
    "models",
    "optimizers",
    "path",
    "penalties",
    "tune",
]

if TYPE_CHECKING:
    from tl1bench import datasets, methods, models, optimizers, penalties
    from tl1bench.compaction import Compacted, compact, load_compacted
    from tl1bench.errors import (
        CompactionError,
        ConfigError,
        DataError,
        ExportError,
        MeasurementError,
        Tl1benchError,
    )
    from tl1bench.export import accuracy, export_onnx
    from tl1bench.measuring import measure
    from tl1bench.methods import path
    from tl1bench.optimizers import RMDA, ProximalAdam, ProximalSGD, check
    from tl1bench.tuning import tune


def __getattr__(name: str) -> Any:
    with needed_by(f"tl1bench.{name}"):
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        if name in _ROOMS:
            return importlib.import_module(f"tl1bench.{name}")
    raise AttributeError(f"module 'tl1bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
