"""`tl1bench list`: what there is, as tables."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tl1bench import plugins, tasks
from tl1bench.config import Config, Problem
from tl1bench.errors import printable


def show(config: Config, profiles: dict[str, Path]) -> None:
    """Print the problems and methods of `config` and every plugin that may be named in it."""
    console = Console()
    problems = Table("problem", "data set", "network", "length", title="Problems")
    for name, problem in config.problems.items():
        options = ", ".join(f"{k}={v}" for k, v in problem.network.options.items())
        network = f"{problem.network.name}({options})"
        _add(problems, name, problem.dataset, network, _length(problem))
    methods = Table("method", "of the folder", "penalty", "optimizer", "λ", title="Methods")
    for name, method in config.methods.items():
        lams = ", ".join(f"{lam:g}" for lam in method.lam)
        own = "; ".join(
            f"{problem}: {', '.join(f'{lam:g}' for lam in lams)}"
            for problem, lams in method.lam_for.items()
        )
        what = (name, method.method, method.penalty, method.optimizer)
        _add(methods, *what, f"{lams}; {own}" if lams and own else lams or own or "found")
    available = Table("may be named in params.yaml", "", title="Available")
    _add(available, "tasks", ", ".join(tasks.names()))
    _add(available, "data sets", ", ".join(n.replace("_", "-") for n in _names("datasets")))
    _add(available, "networks", ", ".join([*_names("models"), "torchvision/<network>"]))
    _add(available, "methods", ", ".join(_names("methods")))
    _add(available, "penalties", ", ".join(_names("penalties")))
    _add(available, "optimizers", ", ".join(_names("optimizers")))
    table = Table("profile", "parameters", title="Profiles")
    for name, path in profiles.items():
        _add(table, name, str(path))
    for part in (problems, methods, available, table):
        console.print(part)


def _add(table: Table, *cells: str) -> None:
    """Add a row of plain text: what params.yaml says is no markup."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _length(problem: Problem) -> str:
    if problem.path:
        path = problem.path
        return (
            f"path: {path.dense_epochs} dense epochs, up to {path.steps} steps of {path.epochs}, "
            f"branches of {path.branch_epochs}"
        )
    budget = problem.budget
    assert budget is not None
    penalised = (
        f"{budget.iterations} iterations" if budget.iterations else f"{budget.epochs:g} epochs"
    )
    return f"{penalised} + {budget.debias_epochs:g} epochs"


def _names(folder: str) -> tuple[str, ...]:
    return plugins.module_names(folder)
