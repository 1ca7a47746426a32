"""One network, tried: `python -m benchmarks.zoo._trial NAME GIGABYTES` prints a row as JSON."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tl1bench.compaction import Compactor

WIDE = 100_000_000
"""Parameters from which on float64 takes more memory than it is worth."""
MOST_IN_ONNX = 40_000_000
"""Parameters from which on no ONNX file is written: it takes minutes."""


@dataclass(frozen=True)
class Row:
    """What became of one network; shares are of what it had before.

    `refused` is the sentence that it was refused with, in whatever step; then nothing else is said.
    `error` is max |a − b| / max(1, max |a|) at another batch size than the traced one, `allowed`
    what rounding may do: 1e-10 in float64, more where a network computes in float32 whatever its
    weights are. `grown` names what became larger: parameters, numbers (buffers included), bytes,
    MACs, ONNX numbers, ONNX bytes. `onnx_kept` is the share of the file; None where none was
    written, `onnx` then says why.
    """

    name: str
    parameters: int = 0
    zeros: float = 0.0
    precision: str = ""
    error: float = 0.0
    allowed: float = 0.0
    weights_kept: float = 1.0
    weights_ideal: float = 1.0
    macs_kept: float = 1.0
    grown: tuple[str, ...] = ()
    onnx_kept: float | None = None
    onnx: str = ""
    opaque: tuple[str, ...] = ()
    trace_s: float = 0.0
    compact_s: float = 0.0
    export_s: float = 0.0
    refused: str = ""

    @property
    def exact(self) -> bool:
        """Whether the compact network is the same function."""
        return not self.refused and self.error <= self.allowed


def build(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return network `package/name` with dead weights and example inputs, always the same."""
    import torch

    from benchmarks.zoo._killing import randomise

    package, own = name.split("/")
    torch.manual_seed(0)
    network, inputs = importlib.import_module(f"benchmarks.zoo._{package}").build(own)
    torch.manual_seed(0)
    randomise(network, inputs)
    return network, inputs


def trial(name: str) -> Row:
    """Compact one network and say what became of it."""
    from benchmarks.zoo._killing import kill
    from tl1bench.errors import Tl1benchError

    network, inputs = build(name)
    zeros = kill(network)
    parameters = sum(p.numel() for p in network.parameters())
    row = Row(name, parameters, zeros / parameters)
    try:
        row = _compacted(row, network, inputs)
    except Tl1benchError as error:
        return dataclasses.replace(row, refused=str(error))
    return _exported(row, network, inputs)


def _compacted(row: Row, network: nn.Module, inputs: tuple[Tensor, ...]) -> Row:
    import torch

    from tl1bench.compaction import Compactor
    from tl1bench.tracing import agreement

    kind = torch.float64 if row.parameters < WIDE else torch.float32
    network.to(kind)
    inputs = tuple(x.to(kind) if x.is_floating_point() else x for x in inputs)
    began = time.perf_counter()
    compactor = Compactor(network, inputs)
    traced = time.perf_counter()
    small = compactor.compact()
    done = time.perf_counter()
    more = tuple(torch.cat([x, x.flip(-1)])[:3] for x in inputs)
    with torch.no_grad():
        expected, found = network(*more), small.model(*more)
    first = agreement.leaves(expected)[0]
    if bool(torch.isclose(first[0], first[1], rtol=1e-6).all()):
        raise AssertionError(f"{row.name} does not depend on its input: nothing is proven.")
    inside = _precision(compactor, kind)
    report = small.report
    return dataclasses.replace(
        row,
        precision=str(inside).removeprefix("torch."),
        # JSON knows no infinity, which is what outputs of another kind differ by.
        error=min(agreement.difference(expected, found), sys.float_info.max),
        allowed=agreement.FLOAT64 if inside == torch.float64 else agreement.ONNXRUNTIME,
        weights_kept=report.weights_after / max(1, report.weights_before),
        weights_ideal=report.weights_ideal / max(1, report.weights_before),
        macs_kept=report.macs_after / max(1, report.macs_before),
        grown=_grown(sizes(network), sizes(small.model))
        + (("MACs",) if report.macs_after > report.macs_before else ()),
        opaque=report.opaque,
        trace_s=traced - began,
        compact_s=done - traced,
    )


def _precision(compactor: Compactor, kind: torch.dtype) -> torch.dtype:
    """Return the least precise type that the network computes in."""
    import torch

    values = (node.meta.get("val") for node in compactor.traced.calls)
    kinds = {v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()}
    return max((*kinds, kind), key=lambda k: torch.finfo(k).eps)


def sizes(network: nn.Module) -> dict[str, int]:
    """Return what a network stores, each tensor once: counts by what is counted."""
    import itertools

    unique = {id(t): t for t in itertools.chain(network.parameters(), network.buffers())}
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "numbers": sum(t.numel() for t in unique.values()),
        "bytes": sum(t.numel() * t.element_size() for t in unique.values()),
    }


def _grown(before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    return tuple(what for what, count in before.items() if after[what] > count)


def _exported(row: Row, network: nn.Module, inputs: tuple[Tensor, ...]) -> Row:
    """Write both networks to ONNX in float32; `export_onnx` holds each against torch."""
    from tl1bench.compaction import compact
    from tl1bench.errors import Tl1benchError

    if row.parameters > MOST_IN_ONNX:
        return dataclasses.replace(row, onnx="too large to be tried")
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            # Anew: a network may have float64 in its graph where its weights had it.
            small = compact(network.float(), inputs).model
            after = _onnx(small, inputs, Path(folder) / "small.onnx")
            export_s = time.perf_counter() - began
            before = _onnx(network, inputs, Path(folder) / "dense.onnx")
    except Tl1benchError as error:
        return dataclasses.replace(row, onnx=str(error))
    return dataclasses.replace(
        row,
        onnx_kept=after["ONNX bytes"] / before["ONNX bytes"],
        grown=row.grown + _grown(before, after),
        export_s=export_s,
    )


def _onnx(network: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> dict[str, int]:
    import math

    import onnx

    from tl1bench.export import export_onnx

    report = export_onnx(network, inputs, path)
    stored = onnx.load(path).graph.initializer
    return {"ONNX numbers": sum(math.prod(t.dims) for t in stored), "ONNX bytes": report.size_bytes}


def main(name: str, gigabytes: float) -> dict[str, Any]:
    """Try a network on one thread of this process and return its row as JSON holds it."""
    import resource

    import torch

    most = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    return dataclasses.asdict(trial(name))


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(main(sys.argv[1], float(sys.argv[2]))) + "\n")
