"""What can be wrong before anything is trained, found in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from tl1bench import neurons, training
from tl1bench.config import PENALISED
from tl1bench.errors import CompactionError, ConfigError
from tl1bench.pipeline import loading, objects, path_objects
from tl1bench.results import DENSE

if TYPE_CHECKING:
    from tl1bench.config import Config, Problem


def check(config: Config, say: Callable[[str], None]) -> None:
    """Read all data, build every network, penalty and optimiser once, and train none.

    `say` is told what was guessed in reading tables and what becomes of their columns.

    Raises
    ------
    ConfigError
        Something in params.yaml is missing or does not fit.
    DataError
        A data set cannot be read.
    """
    if DENSE not in config.methods:
        raise ConfigError(
            f"methods: '{DENSE}' is missing, with which every result is compared; add "
            "`dense: {penalty: l2, lam: 1.0e-4}`"
        )
    training.choose_device(config.device, 0)
    told: set[str] = set()
    for name, problem in config.problems.items():
        data, _ = loading.split(config, problem)
        for line in (*data.notes, *(data.preprocessing.told() if data.preprocessing else ())):
            if (line := f"{problem.dataset}: {line}") not in told:
                told.add(line)
                say(line)
        try:
            model = objects.network(problem, data.input_shape, data.outputs, seed=0)
            x = torch.zeros(4, *data.input_shape)
            anatomy = neurons.Anatomy.of(model, x, problem.groups)
        except (ValueError, ConfigError, CompactionError) as error:
            raise ConfigError(f"problems.{name}: {error}") from error
        _check_methods(config, name, problem, anatomy, model)


def _check_methods(
    config: Config, name: str, problem: Problem, anatomy: neurons.Anatomy, model: torch.nn.Module
) -> None:
    for method_name, settings in config.methods.items():
        method = settings.on(name)
        if not problem.takes(method_name) or method.method != PENALISED:
            continue
        penalty = objects.penalty(method_name, method, problem, max((0.0, *method.lam)))
        try:
            objects.optimizer(method, problem, penalty)(model, anatomy)
            if problem.path and method_name != DENSE:
                path_objects.method(method_name, method, problem, {})
        except (ValueError, ConfigError) as error:
            raise ConfigError(f"problems.{name} with methods.{method_name}: {error}") from error
