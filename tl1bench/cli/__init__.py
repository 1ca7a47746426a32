"""The `tl1bench` command: thin, lazy, and one sentence when something is wrong.

Long because it holds one short function for each command that people use, as typer wants them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tl1bench.cli import _hidden
from tl1bench.cli._params import OnProblem, Params, load, problem_of
from tl1bench.errors import ConfigError, Tl1benchError, needed_by, printable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # Help in plain text: drawing it with rich takes longer than the rest of the command line.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Benchmark, compact and export sparse networks (integrated transformed-ℓ1).\n\n"
    "One `tl1bench run` does everything; each step can also be used alone on files.",
)

app.add_typer(_hidden.app)


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit status 2.

    Raises
    ------
    SystemExit
        With the command's status.
    """
    try:
        _check_options(sys.argv[1:])
        with needed_by("This command"):
            app()
    except Tl1benchError as error:
        sentence = str(error)
    except OSError as error:
        if error.filename is None:
            raise
        name = os.fsdecode(error.filename2 or error.filename)
        sentence = printable(f"{name} cannot be read or written: {error.strerror}.")
    else:
        return
    sys.stderr.write(f"tl1bench: {sentence}\n")
    raise SystemExit(2) from None


def _check_options(arguments: Sequence[str]) -> None:
    """Refuse what only looks like an option: typer would quote it to the terminal as it stands."""
    for argument in arguments:
        if argument == "--":
            return
        if argument.startswith("-") and not argument.partition("=")[0].isprintable():
            raise ConfigError(
                f"{argument} is no option; a file of this name is given as ./{argument}."
            )


@app.command(epilog="Example: tl1bench data mnist --mirror /media/mirror")
def data(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets; by default those of params.yaml.")
    ] = None,
    mirror: Annotated[
        Path | None, typer.Option(envvar="TL1BENCH_MIRROR", help="A folder to take the files from.")
    ] = None,
    params: Params = Path("params.yaml"),
    quiet: Annotated[bool, typer.Option(help="Say nothing about what is there already.")] = False,
) -> None:
    """Fetch data sets from any source and verify every byte."""
    from rich.progress import DownloadColumn

    from tl1bench import datasets, progress

    config = load(params)
    used = {problem.dataset for problem in config.problems.values()}
    wanted = names or [n for n, own in config.datasets.items() if own.path is None and n in used]
    for name in wanted:
        if name in config.datasets and config.datasets[name].path is not None:
            continue
        with progress.amounts(DownloadColumn()) as move:
            say = (lambda line: None) if quiet else progress.say
            datasets.fetch(name, config.data, mirror, say=say, progress=move)


@app.command("list", epilog="Example: tl1bench list --params reports/paper/params.yaml")
def list_(params: Params = Path("params.yaml")) -> None:
    """Show problems, methods, data sets, networks and profiles."""
    from tl1bench.cli import _listing
    from tl1bench.pipeline.run import PROFILES

    _listing.show(load(params), PROFILES)


@app.command(epilog="Example: tl1bench check --params params.yaml")
def check(params: Params = Path("params.yaml")) -> None:
    """Read data and build networks as params.yaml says; train nothing, and say what is wrong."""
    from tl1bench.pipeline import checks

    checks.check(load(params), say=typer.echo)


@app.command(epilog="Example: tl1bench train digits-mlp integrated_tl1")
def train(
    problem: Annotated[str | None, typer.Argument(help="A problem of params.yaml.")] = None,
    method: Annotated[str | None, typer.Argument(help="A method of params.yaml.")] = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Train all problems and methods, or one, all seeds, resumably: along paths or λ by λ."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import train as stage

    config = load(params)
    if problem is not None:
        problem_of(config, problem)
    if method is not None and method not in config.methods:
        known = ", ".join(config.methods)
        raise ConfigError(f"There is no method {method!r} in {params}: choose {known}.")
    with wall_time.stage(config.profile, "train") as account:
        account["kept"] = stage.run(config, problem, method)


@app.command(epilog="Example: tl1bench compact model.pt2 -o small.onnx --report report.html")
def compact(
    model: Annotated[Path | None, typer.Argument(help="A .pt2 file (torch.export.save).")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .onnx or .pt2 file.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--report", help="An .html file: what went, and what it brought.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Add indices or padding that are faster by measurement.")
    ] = False,
    align: Annotated[
        int, typer.Option(min=1, help="Keep a multiple of so many units a layer, as zeros.")
    ] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="A .npz file with examples x (and labels y) to check the result on."),
    ] = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Remove every unit that provably cannot matter, and change nothing else."""
    if model is not None:
        if output is None:
            raise ConfigError("Say where the smaller network goes by --output small.onnx.")
        from tl1bench.cli import _standalone

        _standalone.compact_file(model, output, page=page, tuning=tune, align=align, data=data)
        return
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import compact as stage

    config = load(params)
    with wall_time.stage(config.profile, "compact"):
        stage.run(config)


@app.command(epilog="Example: tl1bench export model.pt2 -o model.onnx")
def export(
    model: Annotated[Path | None, typer.Argument(help="A .pt2 file (torch.export.save).")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .onnx file.")] = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Write a network as one checked ONNX file."""
    if model is not None:
        if output is None:
            raise ConfigError("Say where the file goes by --output model.onnx.")
        from tl1bench.cli import _standalone

        _standalone.export_file(model, output)
        return
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import export as stage

    config = load(params)
    with wall_time.stage(config.profile, "export"):
        stage.run(config)


@app.command(epilog="Example: tl1bench predict model.onnx table.csv -o predicted.csv")
def predict(
    model: Annotated[Path, typer.Argument(help="A .onnx file, trained on a table.")],
    table: Annotated[Path, typer.Argument(help="A table with the same columns.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .csv file.")] = None,
) -> None:
    """Say the class of each row of a table, prepared as the ONNX file itself says."""
    from tl1bench.cli import _predicting

    _predicting.predict(model, table, output)


@app.command(epilog="Example: tl1bench measure dense.onnx small.onnx --threads 1")
def measure(
    models: Annotated[
        list[Path] | None, typer.Argument(help=".onnx files; the first is the baseline.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Examples a call.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="onnxruntime's threads.")] = 1,
    full: Annotated[
        bool, typer.Option("--full", help="The full protocol instead of the quick one.")
    ] = False,
    provider: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    sessions: Annotated[
        int, typer.Option(min=0, help="Measure two files so many times: does it repeat?")
    ] = 0,
    control: Annotated[
        bool, typer.Option("--control", help="With --sessions: the first file against its copy.")
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, help="With --sessions: so often again on a busy machine.")
    ] = 0,
    save: Annotated[
        Path | None, typer.Option(help="With --sessions: the folder to add them to.")
    ] = None,
    params: Params = Path("params.yaml"),
    problem: OnProblem = None,
) -> None:
    """Measure latency and memory in processes without torch.

    With --sessions and no files, LeNet-5 and its compact 5-10-76-16 (random weights) are measured.
    """
    if sessions:
        from tl1bench.cli import _repeating

        settings = {"batch": batch, "threads": threads, "provider": provider}
        settings |= {"mode": "full" if full else "quick", "retries": retries}
        _repeating.measure_sessions(models or [], sessions, control, save, settings)
        return
    if models:
        from tl1bench.cli import _standalone

        mode = "full" if full else "quick"
        _standalone.measure_files(models, batch, threads, mode, provider)
        return
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import measure as stage

    config = load(params)
    name = problem_of(config, problem)
    with wall_time.stage(config.profile, "measure"):
        stage.run(config, name)


@app.command(epilog="Example: tl1bench report --params params.yaml")
def report(params: Params = Path("params.yaml")) -> None:
    """Draw figures, tables and the HTML page from the collected results."""
    from tl1bench.pipeline import wall_time
    from tl1bench.pipeline.stages import report as stage

    config = load(params)
    with wall_time.stage(config.profile, "report"):
        stage.run(config)


@app.command(epilog="Example: tl1bench run --profile smoke")
def run(
    profile: Annotated[
        str, typer.Option(help="smoke, default, paper, as-coded or cifar.")
    ] = "default",
    params: Annotated[
        Path | None, typer.Option("--params", "-p", help="A params.yaml of your own instead.")
    ] = None,
) -> None:
    """Check everything, run the whole pipeline of a profile and say where the report is."""
    from tl1bench.pipeline import run

    raise SystemExit(run.run(profile, Path(), params))
