"""Commands that the pipeline and the Makefile call, and nobody else needs to see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tl1bench.cli._params import Params, load
from tl1bench.errors import ConfigError

app = typer.Typer()


@app.command(hidden=True)
def fingerprint(
    dataset: Annotated[str, typer.Option(help="A data set of params.yaml.")],
    params: Params = Path("params.yaml"),
) -> None:
    """Verify a data set and write what it is (a pipeline stage)."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import data as stage

    config = load(params)
    if dataset not in config.datasets:
        known = ", ".join(config.datasets)
        raise ConfigError(f"There is no data set {dataset!r} in {params}: choose {known}.")
    with wall_time.stage(config.profile, "data"):
        stage.run(config, dataset)


@app.command(hidden=True)
def sources(params: Params = Path("params.yaml")) -> None:
    """Write what each problem and method is made of (a pipeline stage)."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import sources as stage

    config = load(params)
    with wall_time.stage(config.profile, "sources"):
        stage.run(config)


@app.command(hidden=True)
def start(params: Params = Path("params.yaml")) -> None:
    """Train the dense starts that all paths of a problem and seed share (a pipeline stage)."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import start as stage

    config = load(params)
    with wall_time.stage(config.profile, "start"):
        stage.run(config)


@app.command(hidden=True)
def machine(params: Params = Path("params.yaml")) -> None:
    """Write what machine this is (a pipeline stage)."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import machine as stage

    config = load(params)
    with wall_time.stage(config.profile, "machine"):
        stage.run(config)


@app.command(hidden=True)
def collect(params: Params = Path("params.yaml")) -> None:
    """Gather all results into one table (a pipeline stage)."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import collect as stage

    config = load(params)
    with wall_time.stage(config.profile, "collect"):
        stage.run(config)


@app.command(hidden=True)
def readme() -> None:
    """Write the numbers in README.md anew from the committed results."""
    from tl1bench import files
    from tl1bench.report import readme as numbers

    # The suite writes how long it took into the ignored work folder; the README's copy is kept.
    measured = Path(".work/tests.json")
    if measured.is_file():
        files.write_bytes(Path("reports/tests.json"), measured.read_bytes())
    text = Path("README.md").read_text(encoding="utf-8")
    files.write_text(Path("README.md"), numbers.render(text, Path()))
