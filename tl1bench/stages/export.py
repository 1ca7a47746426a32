"""Stage 3: write the networks of one problem as ONNX files and prove them equal on the test split.

Exported are the dense network, a masked one (zeros left in place: the control), every run of the
selected λs, and the first seed of the others.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files, parallel, provenance, results, workshop
from tl1bench.errors import ExportError

if TYPE_CHECKING:
    from tl1bench.config import Config

_RELATIVE = 1e-4


@dataclass(frozen=True)
class _Job:
    config: Config
    problem: str
    model: str
    source: Path
    digest: str
    full: bool
    memory: bool


def run(config: Config) -> None:
    """Write `export/<problem>/{dense,masked}.onnx`, `<method>/<run>/…` and `models.csv`."""
    with workshop.locked(f"{config.profile}-export"):
        code = provenance.code_digest(provenance.closure([Path(__file__)]))
        jobs = [job for problem in config.problems for job in _jobs(config, problem, code)]
        missing = [job for job in jobs if not workshop.piece(job.digest).is_dir()]
        parallel.each(_export, missing, config.workers, "export")
        target = config.build / "export"
        workshop.assemble(target, [(f"{job.problem}/{job.model}", job.digest) for job in jobs])
        for problem in config.problems:
            index = pd.DataFrame(
                {
                    "model": [job.model for job in jobs if job.problem == problem],
                    "memory": [job.memory for job in jobs if job.problem == problem],
                }
            )
            files.write_text(
                target / problem / "models.csv", index.to_csv(index=False, lineterminator="\n")
            )


def _jobs(config: Config, problem: str, code: dict[str, str]) -> list[_Job]:
    train, compact = config.build / "train" / problem, config.build / "compact"
    table = pd.read_csv(compact / "selection.csv")
    table = table[table["problem"] == problem]
    first = config.seeds[0]
    data = files.read_json(config.build / "data" / f"{config.problems[problem].dataset}.json")
    network = config.problems[problem].network.model_dump(mode="json")

    def job(model: str, source: Path, full: bool, memory: bool) -> _Job:
        content = provenance.file_digest(source / ("weights.safetensors" if full else "small.pt2"))
        digest = provenance.digest([code, data, network, content, full])
        return _Job(config, problem, model, source, digest, full, memory)

    jobs = []
    for name, method in (("dense", results.DENSE), ("masked", results.HERO)):
        chosen = table[(table["method"] == method) & table["selected"] & (table["seed"] == first)]
        for lam in chosen["lam"]:
            jobs.append(job(name, train / method / results.run_name(lam, first), True, True))
    for row in table[table["selected"] | (table["seed"] == first)].to_dict("records"):
        cell = f"{row['method']}/{results.run_name(row['lam'], row['seed'])}"
        # Two fresh processes a model: memory is read of one seed of each selected point.
        memory = bool(row["selected"] and row["seed"] == first)
        jobs.append(job(cell, compact / problem / cell, False, memory))
    return jobs


def _export(job: _Job, tick: parallel.Tick) -> None:
    import torch
    from safetensors.torch import load_file

    from tl1bench import loading, recipe, training
    from tl1bench.compaction import load_compacted
    from tl1bench.export import export_onnx

    training.prepare_process()
    problem = job.config.problems[job.problem]
    data, split = loading.split(job.config, problem)
    model: torch.nn.Module
    if job.full:
        model = recipe.network(problem, data.input_shape, data.classes, seed=0)
        model.load_state_dict(load_file(job.source / "weights.safetensors"))
        model.eval()
    else:
        model = load_compacted(job.source / "small.pt2")
    tick(0.2)
    test = training.Examples.of(split.x_test, split.y_test, data.scale, torch.device("cpu"))
    example = test.batch(torch.arange(7))[0]
    with files.atomic_path(workshop.piece(job.digest)) as draft:
        draft.mkdir()
        path = draft / "model.onnx"
        report = export_onnx(model, (example,), path)
        tick(0.6)
        difference, changed = _compare(model, path, test)
        if difference > _RELATIVE or changed:
            raise ExportError(
                f"The ONNX file of {job.problem}/{job.model} is not the same function (outputs "
                f"differ by {difference:.1e}, {changed} predictions changed): please report this "
                "as a bug."
            )
        content = path.read_bytes()
        files.write_json(
            draft / "export.json",
            {
                "onnx_bytes": len(content),
                "gzip_bytes": len(gzip.compress(content, mtime=0)),
                "opset": report.opset,
                "max_rel_difference": difference,
                "changed_predictions": changed,
            },
        )


def _compare(model: Any, path: Path, test: Any) -> tuple[float, int]:
    """Return the largest relative difference and the changed predictions on the test split."""
    import numpy as np
    import torch

    from tl1bench.runtime import open_session

    session = open_session(path, threads=1)
    name = session.get_inputs()[0].name
    largest, changed = 0.0, 0
    for rows in torch.arange(len(test)).split(500):
        x = test.batch(rows)[0]
        with torch.no_grad():
            expected = model(x).numpy()
        (found,) = session.run(None, {name: x.numpy()})
        gap = np.abs(found - expected)
        largest = max(largest, float(gap.max() / max(1.0, np.abs(expected).max())))
        # Scores closer than rounding have no order of their own.
        top = np.sort(expected, axis=1)[:, -2:]
        decided = top[:, 1] - top[:, 0] > 2 * gap.max()
        changed += int(((found.argmax(1) != expected.argmax(1)) & decided).sum())
    return largest, changed
