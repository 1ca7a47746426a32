"""Stage 3: compact every trained network, prove it equal, choose the points on validation.

The test split is read here, once a run, and each network is held against guessing on the
validation split. One process pool serves all problems, and a process traces each problem's
network once, since both cost more than a run's own work; finished pieces are kept, so a new method
adds only its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files, results
from tl1bench.pipeline import devices, processes, provenance, store
from tl1bench.results import guessing, layout

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from tl1bench.compaction import Compacted
    from tl1bench.config import Config
    from tl1bench.datasets import Dataset, Split
    from tl1bench.training import Examples


@dataclass(frozen=True)
class _Run:
    name: Path
    source: Path
    digest: str


@dataclass(frozen=True)
class _Job:
    """A process's share of the runs of a problem that are not compacted yet: they share a trace."""

    config: Config
    problem: str
    runs: tuple[_Run, ...]


def run(config: Config) -> None:
    """Write `selection.csv` and `compact/<problem>/<method>/<run>/…`.

    That is network and report of each run, and how a table became its inputs.
    """
    with store.locked(f"{config.profile}-compact"):
        code = provenance.code_digest(provenance.closure([Path(__file__)]))
        runs = {
            problem: [
                _Run(cell, source, _digest(config, problem, source, code))
                for cell, source in _trained(config, problem)
            ]
            for problem in config.problems
        }
        jobs = [job for problem in runs for job in _missing(config, problem, runs[problem])]
        sizes = [float(len(job.runs)) for job in jobs]
        processes.each(_compact, jobs, config.workers, "compact", sizes)
        done = [found for of_problem in runs.values() for found in of_problem]
        table = pd.DataFrame(
            [
                {
                    **files.read_json(found.source / layout.RUN),
                    **files.read_json(store.piece(found.digest) / layout.COMPACTION),
                }
                for found in done
            ]
        )
        tolerance = config.select.tolerance_pct
        table["selected"] = results.select(table, tolerance, config.select.by)
        for by in results.OBJECTIVES:
            table[by] = results.select(table, tolerance, by)
        table["candidate"] = results.candidates(table)
        columns = ["problem", "method", "step", "seed", "selected", *results.OBJECTIVES]
        columns.append("candidate")
        target = config.build / layout.COMPACT
        store.assemble(target, [(str(found.name), found.digest) for found in done])
        files.write_text(
            target / layout.SELECTION, table[columns].to_csv(index=False, lineterminator="\n")
        )


def _trained(config: Config, problem: str) -> list[tuple[Path, Path]]:
    train = config.build / layout.TRAIN
    folders = [
        folder
        for method in config.methods
        for folder in sorted((train / problem / method).glob(layout.ANY_RUN))
    ]
    return [(folder.relative_to(train), folder) for folder in folders]


def _missing(config: Config, problem: str, runs: list[_Run]) -> list[_Job]:
    open_ = [found for found in runs if not store.piece(found.digest).is_dir()]
    shares = devices.count(config.workers, ())
    # Dealt one by one, so that every share has its part of the wide networks.
    dealt = (tuple(open_[i::shares]) for i in range(shares))
    return [_Job(config, problem, share) for share in dealt if share]


def _digest(config: Config, problem: str, source: Path, code: dict[str, str]) -> str:
    settings = config.problems[problem]
    network = [settings.network.model_dump(mode="json"), settings.validation]
    data = files.read_json(config.build / "data" / f"{config.problems[problem].dataset}.json")
    weights = provenance.file_digest(source / layout.WEIGHTS)
    return provenance.digest([code, network, data, weights, config.compact.gather])


@dataclass(frozen=True)
class _Seen:
    """What the networks of a problem are judged on: the test examples, and those held back."""

    data: Dataset
    split: Split
    test: Examples
    held: Examples


def _compact(job: _Job, tick: processes.Tick) -> None:
    import torch
    from safetensors.torch import load_file

    from tl1bench import training
    from tl1bench.compaction import Compactor
    from tl1bench.pipeline import loading, objects

    training.prepare_process()
    problem = job.config.problems[job.problem]
    data, split = loading.split(job.config, problem)
    model = objects.network(problem, data.input_shape, data.outputs, seed=0)
    cpu = torch.device("cpu")
    test, held = (
        training.Examples.of(x, y, data.scale, cpu, data.task)
        for x, y in ((split.x_test, split.y_test), (split.x_val, split.y_val))
    )
    seen = _Seen(data, split, test, held)
    example = test.batch(torch.arange(2))[0]
    # In float64 constants fold without rounding; what is kept is rounded once, at the end.
    full = model.double().eval()
    compactor = Compactor(full, (example.double(),))
    for count, found in enumerate(job.runs, 1):
        full.load_state_dict(load_file(found.source / layout.WEIGHTS))
        small = compactor.compact(full.state_dict(), gather=job.config.compact.gather)
        _keep(found, full, small, seen, example)
        tick(count / len(job.runs))


def _keep(found: _Run, full: Module, small: Compacted, seen: _Seen, example: Tensor) -> None:
    """Prove one compact network equal and write it down."""
    from tl1bench.training import equality, predictions

    data, split = seen.data, seen.split
    same = equality.prove(full, small.model, seen.test, what=str(found.source))
    final = dataclasses.replace(small, model=small.model.float(), example_inputs=(example,))
    guess = guessing.against_guessing(
        data.task, predictions(final.model, seen.held).numpy(), split.y_val, split.y_train
    )
    numbers: dict[str, Any] = {
        "test_error_pct": same.error_pct,
        **data.task.details(same.error_pct, split.y_test, data.target),
        "guess_error_pct": guess.guess_error_pct,
        "guess_p": guess.p,
        "weights_dense": final.report.weights_before,
        "weights_compact": final.report.weights_after,
        "macs_dense": final.report.macs_before,
        "macs_nonzero": final.report.macs_nonzero,
        "macs_compact": final.report.macs_after,
        "architecture": final.report.architecture,
        "max_abs_difference": same.max_abs_difference,
        "changed_predictions": same.changed_predictions,
        "opaque": list(final.report.opaque),
        "layers": [dataclasses.asdict(layer) for layer in final.report.layers],
    }
    with files.atomic_path(store.piece(found.digest)) as draft:
        draft.mkdir()
        final.save(draft / layout.NETWORK)
        if data.preprocessing is not None:
            files.write_json(draft / layout.PREPROCESSING, data.preprocessing.to_json())
        files.write_json(draft / layout.COMPACTION, numbers)
