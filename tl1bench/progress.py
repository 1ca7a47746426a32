"""What a terminal is told: lines as they stand, and bars with the time left."""

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

from tl1bench.errors import printable


def say(text: str) -> None:
    """Print lines on standard output: names in them are no markup and move no cursor."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    Console(soft_wrap=True).print(lines, markup=False, highlight=False, emoji=False)


def bar(*amount: ProgressColumn) -> Progress:
    """Return a bar on standard error that shows `amount` beside the time gone and left."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
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
        task = progress.add_task(printable(label), total=None)

        def move(done: int, total: int, what: str) -> None:
            shown = printable(f"{label}: {what}")
            progress.update(task, completed=done, total=total, description=shown)

        yield move


@contextmanager
def amounts(*columns: ProgressColumn) -> Iterator[Callable[[str, int, int | None], None]]:
    """Yield a function of (what, amount done, amount in all) that moves a bar for each `what`."""
    tasks: dict[str, TaskID] = {}
    with bar(*columns) as progress:

        def move(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(printable(what), total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield move
