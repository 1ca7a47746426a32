"""The steps on files of one's own: for networks that were trained elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tl1bench.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tl1bench.compaction import Compacted


def compact_file(
    source: Path, target: Path, report: Path | None = None, tuned: bool = False
) -> None:
    """Compact the network of a .pt2 file into `target`, .pt2 or .onnx.

    With `tuned`, adapters are switched on where a measurement here says that they pay. `report` is
    where a page about it goes; for that both networks are measured.

    Raises
    ------
    ConfigError
        `source` is no .pt2 file with example inputs, or `target` has another ending.
    """
    if target.suffix not in (".onnx", ".pt2"):
        raise ConfigError(f"{target} must end in .onnx or .pt2.")
    from tl1bench.compaction import compact
    from tl1bench.export import export_onnx

    module, example = _read(source)
    console, tuning = Console(), None
    if tuned:
        from tl1bench.tuning import tune

        result = tune(module, example)
        small, tuning = result.compacted, str(result.adapters)
        console.print(str(result), markup=False, highlight=False)
    else:
        small = compact(module, example)
    if target.suffix == ".onnx":
        export_onnx(small.model, example, target)
    else:
        small.save(target)
    console.print(str(small.report), markup=False, highlight=False)
    console.print(f"Written: {target}")
    if report is not None:
        _report(source.name, module, small, report, tuning)
        console.print(f"Written: {report}")


def _report(
    name: str, module: nn.Module, small: Compacted, target: Path, tuning: str | None
) -> None:
    from tl1bench.cli import _page
    from tl1bench.export import export_onnx
    from tl1bench.measuring import measure

    inputs = small.example_inputs
    difference, examples = _difference(module, small)
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        paths = [Path(folder) / f"{label}.onnx" for label in ("full", "compact")]
        networks = (module, small.model)
        files = [export_onnx(m, inputs, p) for m, p in zip(networks, paths, strict=True)]
        latency = measure(paths, memory_of=())
    findings = _page.Findings(name, small.report, difference, examples, *files, latency, tuning)
    _page.write(findings, target)


def _difference(module: nn.Module, small: Compacted) -> tuple[float, int]:
    """Compare both networks in float64 on the example inputs and noise like them."""
    import torch

    random = torch.Generator().manual_seed(0)
    inputs = []
    for x in small.example_inputs:
        x = x[torch.arange(32) % len(x)]
        if x.is_floating_point():
            x = x.double()
            noise = torch.randn(x.shape, generator=random, dtype=x.dtype) * x.std() + x.mean()
            x = torch.where(torch.arange(32).reshape(-1, *[1] * (x.dim() - 1)) < 16, x, noise)
        inputs.append(x)
    with torch.no_grad():
        full = _leaves(copy.deepcopy(module).double()(*inputs))
        left = _leaves(copy.deepcopy(small.model).double()(*inputs))
    gaps = [float((a - b).abs().max() / a.abs().max().clamp(min=1))
            for a, b in zip(full, left, strict=True)]  # fmt: skip
    return max(gaps), 32


def _leaves(value: Any) -> list[Tensor]:
    from torch.utils import _pytree

    return list(_pytree.tree_leaves(value))


def export_file(source: Path, target: Path) -> None:
    """Export the network of a .pt2 file as one checked ONNX file."""
    from tl1bench.export import export_onnx

    module, example = _read(source)
    report = export_onnx(module, example, target)
    Console().print(f"Written: {target} (opset {report.opset})")


def measure_files(models: Sequence[Path], batch: int, threads: int, mode: str) -> None:
    """Measure ONNX files against the first and print the table."""
    from tl1bench import progress
    from tl1bench.measuring import measure

    with progress.steps("measure") as move:
        result = measure(list(models), batch=batch, threads=threads, mode=mode, progress=move)
    Console().print(str(result), markup=False, highlight=False)


def _read(source: Path) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network of a .pt2 file with a free batch, and example inputs of at least two."""
    import torch

    mend = "Make one by torch.export.save(torch.export.export(model.eval(), (x,)), path)."
    if not source.is_file():
        raise ConfigError(f"{source} is not there. {mend}")
    try:
        program = torch.export.load(source)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{source} is not a .pt2 file ({reason}). {mend}") from error
    example = program.example_inputs
    if example is None or example[1] or not all(isinstance(x, torch.Tensor) for x in example[0]):
        raise ConfigError(f"{source} lacks positional example inputs. {mend}")
    inputs = tuple(x if len(x) > 1 else torch.cat([x, x]) for x in example[0])
    if program.range_constraints:
        return program.module(check_guards=False), inputs
    # Exported for one batch size alone: what was not computed from that size fits any other.
    batch = torch.export.Dim("batch")
    try:
        free = torch.export.export(
            program.module(check_guards=False), inputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
        )  # fmt: skip
    except Exception as error:
        raise ConfigError(
            f"{source} was exported for batches of {len(example[0][0])} alone: export it with "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)."
        ) from error
    return free.module(check_guards=False), inputs
