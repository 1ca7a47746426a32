"""The whole pipeline on the smoke profile, once: how long it takes and what comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SMOKE = "reports/smoke/params.yaml"


class Smoke:
    """Two tiny problems, two methods, two seeds, in a temporary copy of the checkout."""

    version = "1"

    def setup_cache(self) -> dict[str, float]:
        import tl1bench
        from tl1bench import results
        from tl1bench.pipeline import run

        tree = Path(tl1bench.__file__).parents[1]
        if not (tree / SMOKE).is_file():
            return {}
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "tree"
            run.lay_out(tree, copy, tree / SMOKE)
            environment = {
                **os.environ,
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONPATH": str(copy),
            }

            def call(*arguments: str) -> None:
                command = [sys.executable, "-m", *arguments]
                subprocess.run(command, cwd=copy, env=environment, check=True, capture_output=True)

            call("tl1bench", "data", "--quiet")
            began = time.perf_counter()
            call("dvc", "repro")
            first = time.perf_counter()
            call("dvc", "repro")
            second = time.perf_counter()
            table = results.read(copy / "reports/smoke/runs.csv")
            spent = (copy / ".work/account/smoke.jsonl").read_text().splitlines()
            assert (copy / "reports/index.html").is_file()
        hero = table[table["method"] == results.HERO]
        assert len(table) == 8
        assert (hero["weights_compact"] <= hero["weights_dense"]).all()
        trained = sum(e["seconds"] for e in map(json.loads, spent) if e["stage"] == "train")
        return {
            "seconds": first - began,
            "again_seconds": second - first,
            "ratio_to_training": (first - began) / trained,
            "test_error_pct": hero["test_error_pct"].mean(),
            "nonzero_pct": 100 * (hero["nonzero_weights"] / hero["weights_dense"]).mean(),
            "weights_kept_pct": 100 * (hero["weights_compact"] / hero["weights_dense"]).mean(),
            "latency_ratio": hero["latency_ratio_p50"].mean(),
        }

    setup_cache.timeout = 900

    def setup(self, numbers: dict[str, float]) -> None:
        if not numbers:
            raise NotImplementedError("this tl1bench is not imported from a checkout")

    def track_seconds(self, numbers: dict[str, float]) -> float:
        return float(numbers["seconds"])

    def track_second_run_seconds(self, numbers: dict[str, float]) -> float:
        return float(numbers["again_seconds"])

    def track_ratio_to_training(self, numbers: dict[str, float]) -> float:
        return float(numbers["ratio_to_training"])

    def track_test_error_pct(self, numbers: dict[str, float]) -> float:
        return float(numbers["test_error_pct"])

    def track_nonzero_pct(self, numbers: dict[str, float]) -> float:
        return float(numbers["nonzero_pct"])

    def track_weights_kept_pct(self, numbers: dict[str, float]) -> float:
        return float(numbers["weights_kept_pct"])

    def track_latency_ratio(self, numbers: dict[str, float]) -> float:
        return float(numbers["latency_ratio"])

    track_seconds.unit = track_second_run_seconds.unit = "s"
    track_ratio_to_training.unit = track_latency_ratio.unit = "ratio"
    track_test_error_pct.unit = track_nonzero_pct.unit = "%"
    track_weights_kept_pct.unit = "%"
