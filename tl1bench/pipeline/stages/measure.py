"""Stage 5: time the exported networks of one problem against its dense one, without torch.

All are timed at the headline, batch 1 on one thread; at the other settings those whose memory is
measured too: dense, masked, and the first seed of each selected point. Where onnxruntime has CUDA
the same is done on the GPU, at batches of its own; where it turns out not to run there, that is
said, and the CPU's numbers stand alone.
"""

from __future__ import annotations

import pandas as pd

from tl1bench import files, progress
from tl1bench.config import Config
from tl1bench.errors import MeasurementError
from tl1bench.measuring import Measurement, measure
from tl1bench.pipeline import store
from tl1bench.results import DENSE, HERO, MASKED, layout
from tl1bench.runtime import available

# On a GPU in place of those of params.yaml: there a network is only fast at batches that would take
# a CPU minutes a call.
CUDA_BATCHES = (1, 8, 64, 256, 1024)


def run(config: Config, problem: str) -> None:
    """Write `timings/<problem>.parquet` (every call) and `measure/<problem>.json`.

    The JSON is the record of the CPU; `cuda` in it is that of the GPU, or null without one.
    """
    with store.locked(f"{config.profile}-measure"):
        found = {"cpu": _measure(config, problem, "cpu")}
        if "cuda" in available():
            # A build with CUDA may well lie on a machine without a card.
            try:
                found["cuda"] = _measure(config, problem, "cuda")
            except MeasurementError as error:
                progress.say(f"{problem} was measured on the CPU alone: {error}")
    records = {provider: measurement.record() for provider, measurement in found.items()}
    with files.atomic_path(layout.timings_file(config.reports, problem)) as draft:
        samples = [m.samples.assign(provider=provider) for provider, m in found.items()]
        every = pd.concat(samples, ignore_index=True).astype({"provider": "category"})
        every.to_parquet(draft, compression="zstd", index=False)
    record = {**records["cpu"], "cuda": records.get("cuda")}
    files.write_json(layout.measurement_file(config.reports, problem), record)


def _measure(config: Config, problem: str, provider: str) -> Measurement:
    folder = config.build / layout.EXPORT / problem
    index = pd.read_csv(folder / layout.MODELS)
    chosen = index["model"][index["memory"]]
    settings = config.measure
    with progress.steps(f"measure {problem} on {provider}") as move:
        return measure(
            [folder / model / layout.MODEL for model in index["model"]],
            # The headline comes first, whatever the order in params.yaml.
            batch=sorted(settings.batches if provider == "cpu" else CUDA_BATCHES),
            threads=sorted(settings.threads),
            mode=settings.mode,
            processes=settings.processes,
            labels=list(index["model"]),
            headline_only=list(index["model"][~index["memory"]]),
            memory_of=list(chosen) if provider == "cpu" else (),
            operators_of=[m for m in chosen if m in (DENSE, MASKED) or m.startswith(f"{HERO}/")],
            provider=provider,
            progress=move,
        )
