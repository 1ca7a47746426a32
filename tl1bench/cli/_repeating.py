"""`tl1bench measure --sessions N`: one measurement over and over, and a file against itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tl1bench.errors import ConfigError
from tl1bench.progress import say


def measure_sessions(
    models: Sequence[Path],
    sessions: int,
    control: bool,
    save: Path | None,
    settings: Mapping[str, Any],
) -> None:
    """Measure a pair (or, as a control, one file and its copy) and say how far it repeats.

    Sessions that `save` already holds are kept: new ones are added, with seeds of their own, and
    the figure of all of them is drawn anew.

    Raises
    ------
    ConfigError
        The number of files is neither none nor what is compared.
    """
    from tl1bench.measuring import negative_control, repeatability
    from tl1bench.results import layout
    from tl1bench.results.repeats import CONTROL, PAIR, add, covered_pct, read, spread_pct

    if models and len(models) != 2 - control:
        wanted = "one file (or none) with --control" if control else "two files (or none)"
        raise ConfigError(f"--sessions takes {wanted}, not {len(models)}.")
    name = CONTROL if control else PAIR
    before = len(read(save / name)) if save else 0
    with TemporaryDirectory(prefix="tl1bench-") as folder:
        files = list(models) or example_pair(Path(folder))
        if control:
            table = negative_control(files[0], sessions, seed=before, **settings)
        else:
            table = repeatability(files, sessions, seed=before, **settings)
    if save:
        from tl1bench import figures
        from tl1bench.figures import repeatability as figure

        table = add(save / name, table)
        with figures.style():
            drawn = figure.picture(save)
        figures.save(drawn, save / layout.REPEATABILITY, ("png", "svg"))
    say(table.to_string(index=False))
    say(
        f"{len(table)} sessions: p50 ratio {table['ratio_p50'].median():.4f}, spread "
        f"{spread_pct(table):.2f} %; the interval covers 1 in {covered_pct(table):.0f} % of them."
    )


def example_pair(folder: Path) -> list[Path]:
    """Write LeNet-5 with random weights and its compact 5-10-76-16, as ONNX files."""
    import torch

    from tl1bench import models
    from tl1bench.compaction import compact
    from tl1bench.export import export_onnx

    x = torch.zeros(2, 1, 28, 28)
    network = models.build("lenet5", (1, 28, 28), 10, seed=0).eval()
    paths = [folder / "dense.onnx", folder / "compact.onnx"]
    export_onnx(network, (x,), paths[0])
    with torch.no_grad():
        # Five and ten filters, sixteen hidden units, 76 of the 160 inputs that ten filters give.
        for name, kept in (("conv1", 5), ("conv2", 10), ("fc1", 16)):
            layer = network.get_submodule(name)
            for parameter in layer.parameters():
                parameter[kept:] = 0
        order = torch.randperm(160, generator=torch.Generator().manual_seed(0))
        live = torch.zeros(800)
        live[order[:76]] = 1
        network.get_submodule("fc1").get_parameter("weight").mul_(live)
    small = compact(network, (x,), gather=0.5)
    export_onnx(small.model, (x,), paths[1])
    return paths
