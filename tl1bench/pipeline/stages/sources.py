"""Stage 0: write what each problem and method is made of, so that a cell depends on just that.

Also finds each network's neurons, once for all its runs, and checks every penalty's
hyper-parameters: a bad one stops the pipeline before it trains.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tl1bench import files, neurons, plugins
from tl1bench.config import Config, Problem
from tl1bench.errors import CompactionError, ConfigError
from tl1bench.pipeline import objects, provenance

_PACKAGE = Path(plugins.__file__).parent
# Finds a network's neurons; what training takes from it is written out for each problem.
_ANALYSIS = _PACKAGE / "tracing"
_TRAINING = (
    _PACKAGE / "training" / "loop.py",
    _PACKAGE / "pipeline" / "objects.py",
    _PACKAGE / "pipeline" / "loading.py",
)


def run(config: Config) -> None:
    """Write `sources/problems/<problem>.json` and `sources/methods/<method>.json`."""
    for name, method in config.methods.items():
        for problem in config.problems.values():
            objects.penalty(name, method, problem, lam=method.lam[0])
    with files.atomic_path(config.build / "sources") as draft:
        for name, problem in config.problems.items():
            made_of = provenance.closure(_problem_files(config, problem))
            model, example = _first(config, problem)
            try:
                anatomy = neurons.Anatomy.of(model, example, problem.groups)
            except (ValueError, CompactionError) as error:
                raise ConfigError(f"problems.{name}: {error}") from error
            content = {
                "code": provenance.code_digest(made_of),
                "data": files.read_json(config.build / "data" / f"{problem.dataset}.json"),
            }
            content["neurons"] = anatomy.to_json()
            files.write_json(draft / "problems" / f"{name}.json", content)
        for name, method in config.methods.items():
            training = [
                file
                for file in provenance.closure(
                    (
                        plugins.source_file("penalties", method.penalty),
                        plugins.source_file("optimizers", method.optimizer),
                        *_TRAINING,
                    )
                )
                if not file.is_relative_to(_ANALYSIS)
            ]
            files.write_json(
                draft / "methods" / f"{name}.json", {"code": provenance.code_digest(training)}
            )


def _problem_files(config: Config, problem: Problem) -> list[Path]:
    made_of = []
    if not problem.network.name.startswith("torchvision/"):
        made_of.append(plugins.source_file("models", problem.network.name))
    if config.datasets[problem.dataset].path is None:
        made_of.append(plugins.source_file("datasets", problem.dataset.replace("-", "_")))
    return made_of


def _first(config: Config, problem: Problem) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return a problem's network and example inputs of the right shape."""
    data = files.read_json(config.build / "data" / f"{problem.dataset}.json")
    model = objects.network(problem, data["input_shape"], data["classes"], seed=0)
    return model, torch.zeros(4, *data["input_shape"])
