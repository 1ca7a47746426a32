"""What commands share: the file that they follow, and a problem named in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tl1bench.errors import ConfigError

if TYPE_CHECKING:
    from tl1bench.config import Config

Params = Annotated[Path, typer.Option("--params", "-p", help="The params.yaml to follow.")]
OnProblem = Annotated[
    str | None, typer.Option("--problem", help="A problem of params.yaml: the pipeline's stage.")
]


def load(params: Path) -> Config:
    """Read a params.yaml."""
    from tl1bench import config

    return config.load(params)


def problem_of(config: Config, name: str | None) -> str:
    """Return the name of a problem, or raise ConfigError where there is none of that name."""
    if name is None:
        raise ConfigError("Name a problem by --problem, or give files to work on.")
    if name not in config.problems:
        known = ", ".join(config.problems)
        raise ConfigError(f"There is no problem {name!r} in {config.params}: choose {known}.")
    return name
