"""The recipes of CONTRIBUTING.md, run as they stand there, where the smoke profile has run."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT, call, repro

from tl1bench import results

BLOCK = re.compile(r"^```(python|yaml) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METHODS = ("dense", "integrated_tl1", "elastic_net")


def merged(old: dict, new: dict) -> dict:
    """Return `old` with `new` laid over, mappings key by key."""
    both = {
        key: merged(old[key], value)
        if isinstance(value, dict) and isinstance(old.get(key), dict)
        else value
        for key, value in new.items()
    }
    return {**old, **both}


@pytest.fixture(scope="module")
def tree(smoke: Path, tmp_path_factory) -> Path:
    """Return a copy of the smoke run in which all four recipes were followed.

    One of the problems is dropped: what is left of it on disk must not come back.
    """
    copy = tmp_path_factory.mktemp("recipes") / "tree"
    shutil.copytree(smoke, copy)
    content = yaml.safe_load((copy / "params.yaml").read_text())
    del content["problems"]["digits-resnet"]
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    assert [kind for kind, _, _ in blocks].count("python") == 4
    for kind, name, text in blocks:
        if kind == "yaml":
            content = merged(content, yaml.safe_load(text))
        else:
            assert not (copy / name).exists()
            (copy / name).write_text(text)
    (copy / "params.yaml").write_text(yaml.safe_dump(content))
    (copy / "data/blobs").mkdir(parents=True)
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
    ran = repro(tree)
    trained = {name.removeprefix("train@") for name in ran if name.startswith("train@")}
    assert trained == {
        "digits-mlp-elastic_net",
        *(f"{problem}-{m}" for problem in ("digits-wide", "blobs-mlp") for m in METHODS),
    }
    reports = tree / "reports/smoke"
    table = results.read(reports / "runs.csv")
    assert set(table["problem"]) == {"digits-mlp", "digits-wide", "blobs-mlp"}
    assert set(table["method"]) == set(METHODS)
    assert (reports / "figures/training_time.svg").is_file()
    page = (tree / "reports/index.html").read_text()
    assert "training_time" in page
    assert "elastic" in page
    assert "digits-resnet" not in page
