"""Stage 5: gather every result into `runs.csv`, and the evidence that the figures show.

The report is drawn from these committed files alone, so it can be drawn again without training.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
from safetensors.numpy import load_file, save_file

from tl1bench import files, results
from tl1bench.config import Config


def run(config: Config) -> None:
    """Write `runs.csv`, `metrics.json`, `curves.csv` and `evidence/`."""
    table = results.collect(
        config.build,
        config.reports,
        config.profile,
        tuple(config.problems),
        tuple(config.methods),
        config.select.tolerance_pct,
    )
    results.write(config.reports / "runs.csv", table)
    files.write_json(config.reports / "metrics.json", results.metrics(table))
    curves = []
    with files.atomic_path(config.reports / "evidence") as draft:
        for row in table[table["selected"]].to_dict("records"):
            run = results.run_name(row["lam"], row["seed"])
            cell = Path(row["problem"]) / row["method"] / run
            for stage, name in (("train", "history.csv"), ("compact", "compact.json")):
                (draft / stage / cell).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(config.build / stage / cell / name, draft / stage / cell / name)
            if row["seed"] == config.seeds[0]:
                _copy_first_layer(
                    config.build / "train" / cell,
                    config.build / "compact" / cell,
                    draft / "train" / cell,
                )
                history = pd.read_csv(draft / "train" / cell / "history.csv")
                curves.append(history.assign(problem=row["problem"], method=row["method"]))
    files.write_text(
        config.reports / "curves.csv", pd.concat(curves).to_csv(index=False, lineterminator="\n")
    )


def _copy_first_layer(trained: Path, compacted: Path, target: Path) -> None:
    first = files.read_json(compacted / "compact.json")["layers"][0]["name"]
    weights = load_file(trained / "weights.safetensors")
    save_file({f"{first}.weight": weights[f"{first}.weight"]}, target / "weights.safetensors")
