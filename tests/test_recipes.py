"""The recipes of CONTRIBUTING.md, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tl1bench import pipeline

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(python|yaml) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = """
root: .
params: params.yaml
profile: recipes
workers: 2
seeds: [0]
select: {tolerance_pct: 0.5}
compact: {gather: null}
measure: {mode: quick, batches: [1], threads: [1], processes: 2}
datasets: {digits: {}}
methods:
  dense: {penalty: l2, lam: 1.0e-4}
  integrated_tl1: {lam: 1.0e-3}
problems: {}
"""


def merged(old: dict, new: dict) -> dict:
    """Return `old` with `new` laid over, mappings key by key."""
    both = {
        key: merged(old[key], value)
        if isinstance(value, dict) and isinstance(old.get(key), dict)
        else value
        for key, value in new.items()
    }
    return {**old, **both}


def call(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tree), "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Return a copy of the project in which all four recipes were followed."""
    folder = tmp_path_factory.mktemp("recipes")
    params = folder / "small.yaml"
    content = yaml.safe_load(SMALL)
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert [kind for kind, _, _ in blocks].count("python") == 4
    for kind, _, text in blocks:
        if kind == "yaml":
            content = merged(content, yaml.safe_load(text))
    params.write_text(yaml.safe_dump(content))
    copy = folder / "tree"
    pipeline.lay_out(ROOT, copy, params)
    (copy / "data/blobs").mkdir(parents=True)
    for kind, name, text in blocks:
        if kind == "python":
            (copy / name).write_text(text)
    made = call(copy, "make_blobs.py")
    assert made.returncode == 0, made.stderr
    return copy


def test_the_new_penalty_passes_the_contract_tests(tree: Path) -> None:
    done = call(tree, "-m", "pytest", "-q", "-k", "elastic_net", "tests/penalties")
    assert done.returncode == 0, done.stdout
    assert re.search(r"(\d+) passed", done.stdout)


def test_the_new_files_are_clean(tree: Path) -> None:
    names = [
        "tl1bench/penalties/elastic_net.py",
        "tl1bench/models/wide.py",
        "tl1bench/figures/training_time.py",
    ]
    done = call(tree, "-m", "ruff", "check", *names)
    assert done.returncode == 0, done.stdout


def test_penalty_network_data_and_figure_run_through_the_pipeline(tree: Path) -> None:
    fetched = call(tree, "-m", "tl1bench", "data")
    assert fetched.returncode == 0, fetched.stderr
    done = call(tree, "-m", "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    reports = tree / "reports/recipes"
    table = pd.read_csv(reports / "runs.csv")
    assert set(table["problem"]) == {"digits-wide", "blobs-mlp"}
    assert set(table["method"]) == {"dense", "integrated_tl1", "elastic_net"}
    assert (reports / "figures/training_time.svg").is_file()
    page = (tree / "reports/index.html").read_text()
    assert "training_time" in page
    assert "elastic" in page
