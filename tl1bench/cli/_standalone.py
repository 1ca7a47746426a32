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
    from tl1bench.tuning.adapters import Adapters


def compact_file(
    source: Path, target: Path, page: Path | None = None, tuning: bool = False
) -> None:
    """Compact the network of a .pt2 file into `target`, .pt2 or .onnx.

    With `tuning`, adapters are switched on where a measurement here says that they pay. `page` is
    where an HTML page about it goes; for that both networks are measured.

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
    console = Console(soft_wrap=True)
    tuned = None
    if tuning:
        from tl1bench.tuning import tune

        tuned = tune(module, example)
        console.print(str(tuned), markup=False, highlight=False)
    small = compact(module, example) if tuned is None else tuned.compacted
    if target.suffix == ".onnx":
        export_onnx(small.model, example, target)
    else:
        small.save(target)
    console.print(str(small.report), markup=False, highlight=False)
    console.print(f"Written: {target}")
    if page is not None:
        _write_page(page, source.name, module, small, None if tuned is None else tuned.adapters)
        console.print(f"Written: {page}")


def _write_page(
    page: Path, name: str, module: nn.Module, small: Compacted, adapters: Adapters | None
) -> None:
    from tl1bench.cli import _page
    from tl1bench.export import export_onnx
    from tl1bench.measuring import measure

    inputs = small.example_inputs
    equality = _equality(module, small, adapters)
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        before, after = Path(folder) / "full.onnx", Path(folder) / "compact.onnx"
        dense, compacted = (
            export_onnx(m, inputs, p) for m, p in ((module, before), (small.model, after))
        )
        latency = measure([before, after], memory_of=())
    tuning = None if adapters is None else str(adapters)
    findings = _page.Findings(name, small.report, equality, dense, compacted, latency, tuning)
    _page.write(findings, page)


def _equality(module: nn.Module, small: Compacted, adapters: Adapters | None) -> str:
    """Say how far the networks differ on the example inputs and on noise like them.

    In float64 constants fold without rounding, so the same compaction is done again there.
    """
    import torch

    from tl1bench.errors import CompactionError
    from tl1bench.tuning.adapters import Adapters, Draft

    networks, kind = (module, small.model), "the network's own precision"
    inputs = _examples(small.example_inputs)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    try:
        full = copy.deepcopy(module).double()
        draft = Draft(full, tuple(wide))
        networks = (full, draft.write(adapters or Adapters()).model)
        inputs, kind = wide, "float64"
    except CompactionError:
        pass  # A type is written into the traced network: it runs in that one only.
    with torch.no_grad():
        outputs = [_leaves(network(*inputs)) for network in networks]
    difference = max(
        float((a - b).abs().max() / a.abs().max().clamp(min=1))
        for a, b in zip(*outputs, strict=True)
    )
    return (
        f"outputs for {len(inputs[0])} examples, half of them noise, differ by {difference:.1e} at "
        f"most, in {kind}, relative to the largest"
    )


def _examples(given: Sequence[Tensor], count: int = 32) -> list[Tensor]:
    """Return `count` inputs: the given ones repeated, then noise of their mean and deviation."""
    import torch

    random = torch.Generator().manual_seed(0)
    inputs = []
    for x in given:
        repeated = x[torch.arange(count) % len(x)]
        if x.is_floating_point():
            noise = torch.randn(repeated.shape, generator=random, dtype=x.dtype)
            repeated[count // 2 :] = (noise * x.std() + x.mean())[count // 2 :]
        inputs.append(repeated)
    return inputs


def _leaves(value: Any) -> list[Tensor]:
    from torch.utils import _pytree

    return list(_pytree.tree_leaves(value))


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
