"""The steps on files of one's own: for networks that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tl1bench.errors import ConfigError


def compact_file(source: Path, target: Path) -> None:
    """Compact the network of a .pt2 file into `target`, .pt2 or .onnx.

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
    small = compact(module, example)
    if target.suffix == ".onnx":
        export_onnx(small.model, example, target)
    else:
        small.save(target)
    console = Console()
    console.print(str(small.report), markup=False, highlight=False)
    console.print(f"Written: {target}")


def export_file(source: Path, target: Path) -> None:
    """Export the network of a .pt2 file as one checked ONNX file."""
    from tl1bench.export import export_onnx

    module, example = _read(source)
    report = export_onnx(module, example, target)
    Console().print(f"Written: {target} (opset {report.opset})")


def measure_files(
    models: Sequence[Path], batch: int, threads: int, mode: str, provider: str
) -> None:
    """Measure ONNX files against the first and print the table."""
    from tl1bench import progress
    from tl1bench.measuring import measure

    with progress.steps("measure") as move:
        result = measure(list(models), batch, threads, mode, provider=provider, progress=move)
    Console().print(str(result), markup=False, highlight=False)


def _read(source: Path) -> tuple[Any, tuple[Any, ...]]:
    import torch

    mend = "Make one by torch.export.save(torch.export.export(model.eval(), (x,)), path)."
    if not source.is_file():
        raise ConfigError(f"{source} is not there. {mend}")
    try:
        program = torch.export.load(source)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{source} is not a .pt2 file ({reason}). {mend}") from error
    if program.example_inputs is None or program.example_inputs[1]:
        raise ConfigError(f"{source} lacks positional example inputs. {mend}")
    return program.module(), tuple(program.example_inputs[0])
