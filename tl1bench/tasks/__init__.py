"""What a network is to learn, one file a task: its loss, its error, and what guessing is.

Everything that differs between classes and numbers is asked of a task and stands nowhere else.
"""

from __future__ import annotations

from tl1bench.errors import ConfigError
from tl1bench.tasks._task import Target, Task
from tl1bench.tasks.classification import Classification
from tl1bench.tasks.regression import Regression

__all__ = ["Target", "Task", "load", "names"]

# Imported by name, not found in the folder: what a trained network depends on follows imports.
_TASKS = {task.name: task for task in (Classification(), Regression())}


def names() -> tuple[str, ...]:
    """Return the names that `task:` of a data set may have; the first is the default."""
    return tuple(_TASKS)


def load(name: str = Classification.name) -> Task:
    """Return task `name`.

    Raises
    ------
    ConfigError
        There is no such task.
    """
    if name not in _TASKS:
        raise ConfigError(f"there is no task {name!r}; choose one of {', '.join(_TASKS)}.")
    return _TASKS[name]
