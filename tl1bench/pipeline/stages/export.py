"""Stage 4: write the networks of one problem as ONNX files and prove them equal on the test split.

Exported are the dense network, a masked one (zeros left in place: the control), every run of the
points that are selected, whatever is wanted small, and the first seed of those that may turn out
the fastest at their error.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files, results
from tl1bench.errors import ExportError
from tl1bench.pipeline import cards, processes, provenance, store
from tl1bench.results import Run, layout

if TYPE_CHECKING:
    from torch.nn import Module

    from tl1bench.config import Config, Problem
    from tl1bench.datasets import Dataset
    from tl1bench.training import Examples

# Enough that reading the data costs little, few enough that no core waits long for the last job.
_TOGETHER = 8
_BATCH = 500


@dataclass(frozen=True)
class _Model:
    problem: str
    name: str
    source: Path
    digest: str
    full: bool
    memory: bool
    card: dict[str, Any]


@dataclass(frozen=True)
class _Job:
    """Some models of one problem that are not exported yet: they share its data."""

    config: Config
    problem: str
    models: tuple[_Model, ...]


def run(config: Config) -> None:
    """Write `export/<problem>/{dense,masked,<method>/<run>}/…` and `models.csv`.

    That is the ONNX file of each network, its numbers and its model card, and how a table became
    its inputs.
    """
    with store.locked(f"{config.profile}-export"):
        code = provenance.code_digest(provenance.closure([Path(__file__)]))
        models = [m for problem in config.problems for m in _models(config, problem, code)]
        jobs = list(_missing(config, models))
        processes.each(_export, jobs, config.workers, "export", [len(job.models) for job in jobs])
        target = config.build / layout.EXPORT
        store.assemble(target, [(f"{m.problem}/{m.name}", m.digest) for m in models])
        for problem in config.problems:
            own = [m for m in models if m.problem == problem]
            index = pd.DataFrame(
                {"model": [m.name for m in own], "memory": [m.memory for m in own]}
            )
            files.write_text(
                target / problem / layout.MODELS, index.to_csv(index=False, lineterminator="\n")
            )


def _missing(config: Config, models: list[_Model]) -> Iterator[_Job]:
    open_ = [m for m in models if not store.piece(m.digest).is_dir()]
    for problem, group in groupby(open_, key=lambda m: m.problem):
        own = tuple(group)
        for start in range(0, len(own), _TOGETHER):
            yield _Job(config, problem, own[start : start + _TOGETHER])


def _models(config: Config, problem: str, code: dict[str, str]) -> list[_Model]:
    train, compact = config.build / layout.TRAIN / problem, config.build / layout.COMPACT
    table = pd.read_csv(compact / layout.SELECTION)
    table = table[table["problem"] == problem]
    first = config.seeds[0]
    data = files.read_json(config.build / "data" / f"{config.problems[problem].dataset}.json")

    def described(name: str, run: Run, full: bool, memory: bool) -> _Model:
        source = (train.parent if full else compact) / run.folder
        content = provenance.file_digest(source / (layout.WEIGHTS if full else layout.NETWORK))
        found = {
            **files.read_json(train.parent / run.folder / layout.RUN),
            **files.read_json(compact / run.folder / layout.COMPACTION),
        }
        card = cards.of_run(config, run, found, full=full)
        digest = provenance.digest([code, data, card, content, full])
        return _Model(problem, name, source, digest, full, memory, card)

    models = []
    for name, method in (("dense", results.DENSE), ("masked", results.HERO)):
        chosen = table[(table["method"] == method) & table["selected"] & (table["seed"] == first)]
        for step in chosen["step"]:
            models.append(described(name, Run(problem, method, int(step), first), True, True))
    wanted = table[["selected", *results.OBJECTIVES]].any(axis=1)
    wanted |= table["candidate"] & (table["seed"] == first)
    for row in table[wanted].to_dict("records"):
        run = Run(problem, row["method"], row["step"], row["seed"])
        # Two fresh processes a model: memory is read of one seed of each selected point.
        memory = bool(row["selected"] and row["seed"] == first)
        models.append(described(run.model, run, False, memory))
    return models


def _export(job: _Job, tick: processes.Tick) -> None:
    import torch

    from tl1bench import training
    from tl1bench.pipeline import loading

    training.prepare_process()
    problem = job.config.problems[job.problem]
    data, split = loading.split(job.config, problem)
    recorded = files.read_json(job.config.build / "data" / f"{problem.dataset}.json")
    cpu = torch.device("cpu")
    test = training.Examples.of(split.x_test, split.y_test, data.scale, cpu, data.task)
    for count, model in enumerate(job.models, 1):
        _write(model, _network(model, problem, data), test, data, recorded)
        tick(count / len(job.models))


def _network(model: _Model, problem: Problem, data: Dataset) -> Module:
    from safetensors.torch import load_file

    from tl1bench.compaction import load_compacted
    from tl1bench.pipeline import objects

    if not model.full:
        return load_compacted(model.source / layout.NETWORK)
    network = objects.network(problem, data.input_shape, data.outputs, seed=0)
    network.load_state_dict(load_file(model.source / layout.WEIGHTS))
    return network.eval()


def _write(
    model: _Model, network: Module, test: Examples, data: Dataset, recorded: dict[str, Any]
) -> None:
    """Export one network and prove the file equal on the whole test split."""
    import torch

    from tl1bench.export import export_onnx
    from tl1bench.export.check import compare_file
    from tl1bench.tracing import agreement

    with files.atomic_path(store.piece(model.digest)) as draft:
        draft.mkdir()
        path = draft / layout.MODEL
        if data.preprocessing is not None:
            files.write_json(draft / layout.PREPROCESSING, data.preprocessing.to_json())
        example = (test.batch(torch.arange(7))[0],)
        report = export_onnx(network, example, path, metadata=cards.carried(data))
        batches = (test.batch(rows)[0] for rows in torch.arange(len(test)).split(_BATCH))
        difference, changed = compare_file(network, path, batches)
        if difference > agreement.ONNXRUNTIME or changed:
            raise ExportError(
                f"The ONNX file of {model.problem}/{model.name} is not the same function (outputs "
                f"differ by {difference:.1e}, {changed} predictions changed): please report this "
                "as a bug."
            )
        content = path.read_bytes()
        numbers = {
            "onnx_bytes": len(content),
            "gzip_bytes": len(gzip.compress(content, mtime=0)),
            "opset": report.opset,
            "max_rel_difference": difference,
            "changed_predictions": changed,
        }
        files.write_json(draft / layout.EXPORTED, numbers)
        card = cards.whole(model.card, data, recorded, {"name": layout.MODEL, **numbers})
        files.write_json(draft / layout.CARD, card)
