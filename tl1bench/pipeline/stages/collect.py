"""Stage 6: gather every result into `runs.csv`, and the evidence that the figures show.

The report is drawn from these committed files alone, so it can be drawn again without training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
from rich.console import Console
from safetensors.numpy import load_file, save_file

from tl1bench import files, results, tasks
from tl1bench.config import Config
from tl1bench.results import Run, guessing, layout


def run(config: Config) -> None:
    """Write `runs.csv`, `metrics.json`, `fronts.csv` and `evidence/`."""
    table = results.collect(
        config.build,
        config.reports,
        config.profile,
        tuple(config.problems),
        tuple(config.methods),
        config.select.tolerance_pct,
        config.select.by,
    )
    results.write(config.reports / layout.RUNS, table)
    _warn(config, table[table["selected"]])
    files.write_json(config.reports / layout.METRICS, results.dvc_metrics(table))
    files.write_text(
        config.reports / layout.FRONTS,
        results.fronts_csv(table).to_csv(index=False, lineterminator="\n"),
    )
    with files.atomic_path(config.reports / layout.EVIDENCE) as draft:
        for row in table[table["selected"]].to_dict("records"):
            run = Run(*(row[name] for name in Run._fields))
            for folder, name in (
                (layout.TRAIN, layout.HISTORY),
                (layout.COMPACT, layout.COMPACTION),
            ):
                file = folder / run.folder / name
                (draft / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(config.build / file, draft / file)
            if run.seed == config.seeds[0]:
                _copy_first_layer(config.build, draft, run)
        for record in (config.build / layout.TRAIN).glob(f"*/*/{layout.ANY_PATH}"):
            target = draft / record.relative_to(config.build)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record, target)


def _warn(config: Config, chosen: pd.DataFrame) -> None:
    """Say loudly on which problems nothing was learned."""
    console = Console(stderr=True, soft_wrap=True)
    for problem in guessing.unlearned(chosen):
        task = tasks.load(config.datasets[config.problems[problem].dataset].task)
        said = guessing.alarm(problem, task, guessing.of_dense(chosen, problem))
        console.print(said, style="bold red", markup=False, highlight=False)


def _copy_first_layer(build: Path, evidence: Path, run: Run) -> None:
    compaction = files.read_json(build / layout.COMPACT / run.folder / layout.COMPACTION)
    name = f"{compaction['layers'][0]['name']}.weight"
    trained = layout.TRAIN / run.folder / layout.WEIGHTS
    save_file({name: load_file(build / trained)[name]}, evidence / trained)
