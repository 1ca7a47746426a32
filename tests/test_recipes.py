"""The recipes of CONTRIBUTING.md, run as they stand there, where the smoke profile has run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT, call, repro

from tl1bench import results

BLOCK = re.compile(r"^```(python|yaml) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
METHODS = ("dense", "magnitude", "integrated_tl1", "elastic_net", "nesterov")


def merged(old: dict, new: dict) -> dict:
    """Return `old` with `new` laid over, mappings key by key."""
    both = {
        key: merged(old[key], value)
        if isinstance(value, dict) and isinstance(old.get(key), dict)
        else value
        for key, value in new.items()
    }
    return {**old, **both}


def followed(tree: Path, chosen: str = "") -> list[str]:
    """Write the files of the recipes into `tree`, those of recipe `chosen` or of all."""
    written = []
    for part in (ROOT / "CONTRIBUTING.md").read_text().split("\n## Recipe ")[1:]:
        for kind, name, text in BLOCK.findall(part) if part.startswith(chosen) else ():
            if kind == "python":
                assert not (tree / name).exists()
                (tree / name).write_text(text)
                written.append(name)
    return written


def settings() -> dict:
    """Return what the recipes put into params.yaml."""
    content: dict = {}
    for kind, _, text in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()):
        if kind == "yaml":
            content = merged(content, yaml.safe_load(text))
    return content


def trained(tree: Path) -> dict[Path, tuple[str, str]]:
    """Return the problem and method of every run that was ever trained in `tree`."""
    runs = ((file, json.loads(file.read_text())) for file in tree.glob(".work/??/*/**/run.json"))
    return {file: (run["problem"], run["method"]) for file, run in runs}


@pytest.fixture(scope="module")
def tree(smoke: Path, tmp_path_factory) -> Path:
    """Return a copy of the smoke run in which all recipes were followed.

    One of the problems is dropped: what is left of it on disk must not come back.
    """
    copy = tmp_path_factory.mktemp("recipes") / "tree"
    shutil.copytree(smoke, copy)
    content = yaml.safe_load((copy / "params.yaml").read_text())
    del content["problems"]["digits-resnet"]
    del content["methods"]["integrated_tl1"]["lam_for"]
    followed(copy)
    (copy / "params.yaml").write_text(yaml.safe_dump(merged(content, settings())))
    (copy / "data/blobs").mkdir(parents=True)
    made = call(copy, "make_blobs.py")
    assert made.returncode == 0, made.stderr
    fetched = call(copy, "-m", "tl1bench", "data", "--quiet")
    assert fetched.returncode == 0, fetched.stderr
    return copy


# What the suite in a recipe's tree leaves out: tests that run whole pipelines (this file and the
# one beside it, which would never end), that time our own code (another suite runs beside this
# one), that measure latency, and the gate on committed results, whose code is no longer this one.
LEFT_OUT = (
    "tests/test_recipes.py",
    "tests/pipeline/test_pipeline.py",
    "tests/benchmarks",
    "tests/compaction/test_speed.py",
    "tests/measuring",
    "tests/runtime",
)


def checkout(target: Path) -> Path:
    """Copy the tracked and new files of the project to `target`, and what mypy knows of them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", target / ".mypy_cache")
    return target


def is_clean(tree: Path) -> None:
    """Assert that the commands of `make lint` have nothing to say."""
    for command in (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("tools.house",),
    ):
        done = call(tree, "-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    done = call(tree, "-c", "from importlinter.cli import lint_imports_command as c; c()")
    assert done.returncode == 0, done.stdout + done.stderr


# The rooms that a recipe adds a file to: their tests run over whatever the folders hold.
ROOMS = ("penalties", "models", "optimizers", "metrics", "figures", "tracing")
# What the recipes add there, as the tests' parameters call it.
ADDED = (
    "elastic_net", "wide", "proximal_nesterov", "mac_reduction", "training_time", "cumulative",
    "cumprod", "cumsum",
)  # fmt: skip


def passes(tree: Path, *options: str) -> str:
    """Assert that the fast suite, or what `options` choose of it, is green; return its output."""
    ignored = [f"--ignore={name}" for name in LEFT_OUT]
    done = call(tree, "-m", "pytest", "-m", "not slow", *ignored, *options)
    assert done.returncode == 0, done.stdout[-8000:]
    assert re.search(r"(\d+) passed", done.stdout)
    return done.stdout


def test_each_recipe_is_as_many_files_as_it_says(tmp_path: Path) -> None:
    for name in ("penalties", "models", "datasets", "optimizers", "metrics", "figures",
                 "tracing/rules"):  # fmt: skip
        (tmp_path / "tl1bench" / name).mkdir(parents=True)
    written = followed(tmp_path)
    rooms = [Path(name).parent.as_posix() for name in written]
    assert len(written) == 8
    assert len(set(rooms)) == 8  # seven rooms, and the script that makes own data


def test_with_all_recipes_followed_lint_and_tests_are_green(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    followed(tree)
    (tree / "make_blobs.py").unlink()
    is_clean(tree)
    # Tests of what was there before were passed outside: those of the new, and of whole folders.
    # Triton's interpreter has a process of its own, where the same optimisers take a minute.
    chosen = f"({' or '.join(('not [', *ADDED))}) and not interpreter"
    said = passes(tree, "-v", "-k", chosen, *(f"tests/{room}" for room in ROOMS))
    assert all(re.search(rf"\[\S*{name}\S*\] PASSED", said) for name in ADDED)


@pytest.mark.slow
def test_with_all_recipes_followed_the_whole_fast_suite_is_green(tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    followed(tree)
    (tree / "make_blobs.py").unlink()
    passes(tree, "-n", "2")


@pytest.mark.slow
@pytest.mark.parametrize("number", "12345678")
def test_with_one_recipe_followed_lint_and_tests_are_green(number: str, tmp_path: Path) -> None:
    tree = checkout(tmp_path / "tree")
    followed(tree, number)
    (tree / "make_blobs.py").unlink(missing_ok=True)
    is_clean(tree)
    passes(tree, "-n", "2")


def test_all_of_them_run_through_the_pipeline(tree: Path) -> None:
    before = trained(tree)
    assert "train" in repro(tree)
    new = ("digits-wide", "blobs-mlp", "parity-mlp")
    assert {cell for file, cell in trained(tree).items() if file not in before} == {
        *(("digits-mlp", method) for method in ("elastic_net", "nesterov")),
        *((problem, method) for problem in new for method in METHODS),
    }
    reports = tree / "reports/smoke"
    table = results.read(reports / "runs.csv")
    assert set(table["problem"]) == {"digits-mlp", *new}
    assert set(table["method"]) == set(METHODS)
    assert (reports / "figures/training_time.svg").is_file()
    page = (tree / "reports/index.html").read_text()
    for shown in ("training_time", "elastic", "MAC reduction"):
        assert shown in page
    assert "digits-resnet" not in page
