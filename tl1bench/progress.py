"""Progress bars with the time left, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def bar(*amount: ProgressColumn) -> Progress:
    """Return a bar on standard error that shows `amount` beside the time gone and left."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(amount or (TextColumn("{task.percentage:>3.0f} %"),)),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def steps(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function of (steps done, steps in all, what is done next) that moves a bar."""
    with bar() as progress:
        task = progress.add_task(label, total=None)

        def move(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=f"{label}: {what}")

        yield move


@contextmanager
def amounts(*columns: ProgressColumn) -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function of (what, amount done, amount in all) that moves a bar for each `what`."""
    tasks: dict[str, TaskID] = {}
    with bar(*columns) as progress:

        def move(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield move
