"""The steps on files of one's own: for networks that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tl1bench.errors import ConfigError
from tl1bench.progress import say

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from tl1bench.compaction import Compacted


def compact_file(
    source: Path,
    target: Path,
    *,
    page: Path | None = None,
    tuning: bool = False,
    align: int = 1,
    data: Path | None = None,
) -> None:
    """Compact the network of a .pt2 file into `target`, and check that it is the same function.

    Parameters
    ----------
    source
        A .pt2 file with example inputs.
    target
        A .pt2 or .onnx file.
    page
        Where an HTML page about it goes; for that both networks are measured.
    tuning
        Whether adapters are switched on where a measurement here says that they pay.
    align
        Of what number a multiple of units stays in each layer.
    data
        A .npz file with examples to check on; without it the example inputs and noise serve.

    Raises
    ------
    ConfigError
        `source` is no .pt2 file with example inputs, `target` has another ending, or widths are
        to be both tuned and aligned.
    DataError
        `data` does not hold examples for this network.
    CompactionError, ExportError
        The result is not the same function, and nothing is written.
    """
    if target.suffix not in (".onnx", ".pt2"):
        raise ConfigError(f"{target} must end in .onnx or .pt2.")
    if tuning and align > 1:
        raise ConfigError("Tuning finds widths by measurement: give --tune or --align, not both.")
    from tl1bench.cli import _examples
    from tl1bench.compaction import compact
    from tl1bench.tuning import tune
    from tl1bench.tuning.adapters import Adapters
    from tl1bench.tuning.proof import made_up, prove

    module, example = _read(source)
    inputs, labels = (made_up(example), None) if data is None else _examples.read(data, example)
    tuned = tune(module, example) if tuning else None
    if tuned is not None:
        say(str(tuned))
    small = compact(module, example, align=align) if tuned is None else tuned.compacted
    proof = prove(module, small, Adapters() if tuned is None else tuned.adapters, inputs)
    accuracies = None if labels is None else _accuracies(module, small, inputs, labels)
    _write(small, target, inputs if data is not None else None)
    say(str(small.report))
    say(f"Same function: {proof}.")
    if accuracies is not None:
        say(f"Accuracy: {accuracies[0]:.2f} % before, {accuracies[1]:.2f} % after.")
    say(f"Written: {target}")
    if page is not None:
        adapters = None if tuned is None else str(tuned.adapters)
        _write_page(page, source.name, module, small, str(proof), adapters)
        say(f"Written: {page}")


def _write(small: Compacted, target: Path, inputs: Sequence[Tensor] | None) -> None:
    """Write the network; an ONNX file is compared on `inputs`, too, before it gets its name."""
    from tl1bench.errors import ExportError
    from tl1bench.export import export_onnx
    from tl1bench.export.check import compare_file
    from tl1bench.files import atomic_path
    from tl1bench.tracing.agreement import ONNXRUNTIME

    if target.suffix == ".pt2":
        small.save(target)
        return
    with atomic_path(target) as draft:
        export_onnx(small.model, small.example_inputs, draft)
        if inputs is None:
            return
        difference, changed = compare_file(small.model, draft, inputs[0].split(500))
        if difference > ONNXRUNTIME or changed:
            raise ExportError(
                f"On these data the ONNX form differs by {difference:.1e} and {changed} "
                f"predictions change; nothing was written to {target}."
            )


def _accuracies(
    module: nn.Module, small: Compacted, inputs: Sequence[Tensor], labels: Tensor
) -> tuple[float, float]:
    """Return the share of right predictions in percent, before and after."""
    import torch

    with torch.no_grad():
        right = [
            (network(*inputs).argmax(-1) == labels).double().mean()
            for network in (module, small.model)
        ]
    return 100 * float(right[0]), 100 * float(right[1])


def _write_page(
    page: Path, name: str, module: nn.Module, small: Compacted, proof: str, adapters: str | None
) -> None:
    from tl1bench.cli import _page
    from tl1bench.export import export_onnx
    from tl1bench.measuring import measure

    with TemporaryDirectory(prefix="tl1bench-") as folder:
        before, after = Path(folder) / "full.onnx", Path(folder) / "compact.onnx"
        dense, compacted = (
            export_onnx(m, small.example_inputs, p)
            for m, p in ((module, before), (small.model, after))
        )
        latency = measure([before, after], memory_of=())
    findings = _page.Findings(name, small.report, proof, dense, compacted, latency, adapters)
    _page.write(findings, page)


def export_file(source: Path, target: Path) -> None:
    """Export the network of a .pt2 file as one checked ONNX file."""
    from tl1bench.export import export_onnx

    module, example = _read(source)
    report = export_onnx(module, example, target)
    say(f"Written: {target} (opset {report.opset})")


def measure_files(
    models: Sequence[Path], batch: int, threads: int, mode: str, provider: str
) -> None:
    """Measure ONNX files against the first and print the table."""
    from tl1bench import progress
    from tl1bench.measuring import measure

    with progress.steps("measure") as move:
        result = measure(list(models), batch, threads, mode, provider=provider, progress=move)
    say(str(result))


def _read(source: Path) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return the network of a .pt2 file with a free batch, and example inputs of at least two."""
    import torch

    from tl1bench.errors import CompactionError
    from tl1bench.tracing.program import load_program

    mend = "Make one by torch.export.save(torch.export.export(model.eval(), (x,)), path)."
    if not source.is_file():
        raise ConfigError(f"{source} is not there. {mend}")
    try:
        program = load_program(source)
    except CompactionError as error:
        raise ConfigError(f"{source} is not a .pt2 file to work on: {error}") from error
    example = program.example_inputs
    if example is None or example[1] or not all(isinstance(x, torch.Tensor) for x in example[0]):
        raise ConfigError(f"{source} lacks positional example inputs. {mend}")
    if not example[0] or not all(x.dim() and len(x) for x in example[0]):
        raise ConfigError(f"{source} lacks example inputs with a batch. {mend}")
    inputs = tuple(x if len(x) > 1 else torch.cat([x, x]) for x in example[0])
    if program.range_constraints:
        return _module(program, source), inputs
    # Exported for one batch size alone: what was not computed from that size fits any other.
    batch = torch.export.Dim("batch")
    try:
        free = torch.export.export(
            _module(program, source), inputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
        )  # fmt: skip
    except Exception as error:
        raise ConfigError(
            f"{source} was exported for batches of {len(example[0][0])} alone: export it with "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)."
        ) from error
    return _module(free, source), inputs


def _module(program: ExportedProgram, source: Path) -> nn.Module:
    try:
        return program.module(check_guards=False)
    except Exception as error:  # a file from elsewhere may be wrong in whatever way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{source} holds no network that works ({reason[:200]}).") from error
