"""Stage 0: write what each problem and method is made of, so that a cell depends on just that.

Also finds each network's neurons, once for all its runs, and checks every penalty's
hyper-parameters: a bad one stops the pipeline before it trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tl1bench import files, neurons, plugins
from tl1bench.config import DENSE, PENALISED, Config, Problem
from tl1bench.errors import CompactionError, ConfigError, MissingPackageError
from tl1bench.pipeline import loading, objects, path_objects, provenance

_PACKAGE = Path(plugins.__file__).parent
# What a run depends on beside its own penalty, optimiser, network and data.
_BOTH = (_PACKAGE / "pipeline" / "objects.py", _PACKAGE / "pipeline" / "loading.py")
_LISTS = (*_BOTH, _PACKAGE / "training" / "loop.py")
_PATHS = (
    *(*_BOTH, _PACKAGE / "pipeline" / "path_objects.py"),
    *(_PACKAGE / "training" / name for name in ("path.py", "dense.py", "epochs.py")),
)
# What cannot change a trained weight: what `config` and `datasets` read and what `tracing` finds is
# written out (but for the split, and when training refuses to cut), networks are compacted anew by
# a stage of their own, of `results` training takes names of files; the rest computes nothing.
_WITHOUT_EFFECT = (
    *("tracing", "compaction", "config", "datasets", "results"),
    *("errors.py", "files.py", "plugins.py", "progress.py"),
)
_WITH_EFFECT = (_PACKAGE / "datasets" / "_dataset.py", _PACKAGE / "tracing" / "agreement.py")


def run(config: Config) -> None:
    """Write `sources/{problems,methods}/<name>.json`, and `sources/values/…` likewise.

    Values are those of params.yaml with all defaults, so that a default that changes trains anew.
    """
    skipped = {name: _checked(config, name) for name in config.methods}
    with files.atomic_path(config.build / "sources") as draft:
        for name, problem in config.problems.items():
            made = _of_problem(config, name, problem)
            files.write_json(draft / "problems" / f"{name}.json", made)
            values = problem.model_dump(mode="json")
            files.write_json(draft / "values" / "problems" / f"{name}.json", values)
        for name, reason in skipped.items():
            made = {**_of_method(config, name), "skipped": reason}
            files.write_json(draft / "methods" / f"{name}.json", made)
            values = config.methods[name].model_dump(mode="json")
            files.write_json(draft / "values" / "methods" / f"{name}.json", values)


def _of_problem(config: Config, name: str, problem: Problem) -> dict[str, Any]:
    """Return the code of the network, what the data are, and the network's neurons."""
    code = []
    if not problem.network.name.startswith("torchvision/"):
        code = _code(plugins.source_file("models", problem.network.name))
    data = files.read_json(config.build / "data" / f"{problem.dataset}.json")
    found = {"code": provenance.code_digest(code), "data": data}
    shape = data["input_shape"]
    if "table" in data:
        whole, parts = loading.split(config, problem)
        shape = whole.input_shape
        found["inputs"] = loading.prepared(whole, parts)
    model = objects.network(problem, shape, data["outputs"], seed=0)
    try:
        anatomy = neurons.Anatomy.of(model, torch.zeros(4, *shape), problem.groups)
    except (ValueError, CompactionError) as error:
        raise ConfigError(f"problems.{name}: {error}") from error
    return {**found, "flops": _flops(model, shape), "neurons": anatomy.to_json()}


def _flops(model: nn.Module, shape: Sequence[int]) -> int:
    """Count the multiplications and additions of one example: how long its jobs take."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(2, *shape))
    return int(counter.get_total_flops()) // 2


def _checked(config: Config, name: str) -> str:
    """Return why the method is left out, or nothing; a bad value stops the pipeline."""
    for at, problem in config.problems.items():
        if not problem.takes(name):
            continue
        method = config.methods[name].on(at)
        if method.method == PENALISED:
            objects.penalty(name, method, problem, lam=max((0.0, *method.lam)))
        if problem.path and name != DENSE:
            try:
                path_objects.method(name, method, problem, config.methods_on(at))
            except MissingPackageError as error:
                return str(error)
    return ""


def _of_method(config: Config, name: str) -> dict[str, Any]:
    """Return the code that trains by the method, one λ after another and along paths.

    A method that is built upon another, `of`, depends on all that the other one does.
    """
    method = config.methods[name]
    named = {str(hyper.get("of", "")) for hyper in (method.hyper, *method.hyper_for.values())}
    of = [
        [config.methods[other].model_dump(mode="json"), _of_method(config, other)]
        for other in sorted(named & config.methods.keys() - {name})
    ]
    own = [plugins.source_file("optimizers", method.optimizer)]
    if method.method == PENALISED:
        own.append(plugins.source_file("penalties", method.penalty))
    kind = plugins.source_file("methods", method.method)
    lists, walked = _code(*own, *_LISTS), _code(*own, kind, *_PATHS)
    return {
        "lists": provenance.code_digest(lists),
        "paths": provenance.code_digest(walked),
        "of": of,
    }


def _code(*roots: Path) -> list[Path]:
    """Return the files that decide what comes out of `roots`."""
    return [file for file in provenance.closure(roots) if _has_effect(file)]


def _has_effect(file: Path) -> bool:
    place = file.relative_to(_PACKAGE).parts[0]
    return place not in _WITHOUT_EFFECT or file in _WITH_EFFECT
