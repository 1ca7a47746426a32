"""Stage 2: compact every trained network, prove it equal, choose the λs on validation.

The test split is read here, once a run. One process pool serves all problems, since starting one
costs more than a cell's work; finished pieces are kept, so a new method adds only its own.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tl1bench import files, parallel, provenance, results, workshop

if TYPE_CHECKING:
    from tl1bench.config import Config


@dataclass(frozen=True)
class _Job:
    config: Config
    problem: str
    source: Path
    digest: str


def run(config: Config) -> None:
    """Write `compact/<problem>/<method>/<run>/{small.pt2,compact.json}` and `selection.csv`."""
    with workshop.locked(f"{config.profile}-compact"):
        code = provenance.code_digest(provenance.closure([Path(__file__)]))
        cells = {
            cell: _Job(config, cell.parts[0], source, _digest(config, cell.parts[0], source, code))
            for problem in config.problems
            for cell, source in _trained(config, problem)
        }
        missing = [job for job in cells.values() if not workshop.piece(job.digest).is_dir()]
        parallel.each(_compact, missing, config.workers, "compact")
        table = pd.DataFrame(
            [
                {
                    **files.read_json(job.source / "run.json"),
                    **files.read_json(workshop.piece(job.digest) / "compact.json"),
                }
                for job in cells.values()
            ]
        )
        table["selected"] = results.select(table, config.select.tolerance_pct)
        columns = ["problem", "method", "lam", "seed", "selected"]
        pieces = [(str(cell), job.digest) for cell, job in cells.items()]
        target = config.build / "compact"
        workshop.assemble(target, pieces)
        files.write_text(
            target / "selection.csv", table[columns].to_csv(index=False, lineterminator="\n")
        )


def _trained(config: Config, problem: str) -> list[tuple[Path, Path]]:
    cells = [
        Path(problem) / method / results.run_name(lam, seed)
        for method, settings in config.methods.items()
        for lam in settings.lams(problem)
        for seed in config.seeds
    ]
    return [(cell, config.build / "train" / cell) for cell in cells]


def _digest(config: Config, problem: str, source: Path, code: dict[str, str]) -> str:
    network = config.problems[problem].network.model_dump(mode="json")
    data = files.read_json(config.build / "data" / f"{config.problems[problem].dataset}.json")
    weights = provenance.file_digest(source / "weights.safetensors")
    return provenance.digest([code, network, data, weights, config.compact.gather])


def _compact(job: _Job, tick: parallel.Tick) -> None:
    import torch
    from safetensors.torch import load_file

    from tl1bench import equality, loading, recipe, training
    from tl1bench.compaction import compact

    training.prepare_process()
    device = torch.device("cpu")
    problem = job.config.problems[job.problem]
    data, split = loading.split(job.config, problem)
    model = recipe.network(problem, data.input_shape, data.classes, seed=0)
    model.load_state_dict(load_file(job.source / "weights.safetensors"))
    test = training.Examples.of(split.x_test, split.y_test, data.scale, device)
    example = test.batch(torch.arange(2))[0]
    # In float64 constants fold without rounding; what is kept is rounded once, at the end.
    full = model.double().eval()
    small = compact(full, (example.double(),), gather=job.config.compact.gather)
    tick(0.3)
    same = equality.prove(full, small.model, test, what=str(job.source))
    tick(0.8)
    final = dataclasses.replace(small, model=small.model.float(), example_inputs=(example,))
    numbers: dict[str, Any] = {
        "test_error_pct": training.error_pct(final.model, test),
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
    with files.atomic_path(workshop.piece(job.digest)) as draft:
        draft.mkdir()
        final.save(draft / "small.pt2")
        files.write_json(draft / "compact.json", numbers)
