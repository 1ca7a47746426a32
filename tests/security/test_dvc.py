"""Names in DVC's commands: DVC puts values of params.yaml into shell lines before we read them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkouts import ROOT, call
from dvc.parsing import DataResolver
from dvc.repo import Repo
from hostile import NAMES

from tl1bench import config
from tl1bench.errors import ConfigError
from tl1bench.pipeline import run

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
RAW = yaml.safe_load((ROOT / "params.yaml").read_text())
# DVC has no way to say these two.
SAID = {what: name for what, name in NAMES.items() if "\udcff" not in name and "${" not in name}


def checkout(folder: Path, raw: dict[str, Any]) -> Path:
    """Lay out a repository with our dvc.yaml and the settings of somebody else."""
    shutil.copy(ROOT / "dvc.yaml", folder)
    text = yaml.safe_dump(raw, allow_unicode=True, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    Repo.init(folder)
    return folder


def commands(folder: Path) -> dict[str, str]:
    """Return the shell line of each stage as DVC would run it."""
    with Repo(folder) as repo:
        resolver = DataResolver(
            repo, str(folder), yaml.safe_load((folder / "dvc.yaml").read_text())
        )
        keys = list(resolver.get_keys())
        return {key: resolver.resolve_one(key)[key]["cmd"] for key in keys}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose data sets have all the names that there are."""
    raw = {**RAW, "datasets": {name: {} for name in SAID.values()}}
    return checkout(tmp_path_factory.mktemp("tree"), raw)


def test_a_data_set_is_one_word_of_its_command(hostile: Path) -> None:
    lines = [c for key, c in commands(hostile).items() if key.startswith("data@")]
    words = [shlex.split(line) for line in lines]
    front = ["python", "-m", "tl1bench", "fingerprint", "--params", "params.yaml", "--dataset"]
    assert words == [[*front, name] for name in SAID.values()]


def test_dvc_runs_no_name_of_a_data_set(tmp_path: Path) -> None:
    name = "x; touch RAN #"
    tree = checkout(tmp_path, {**RAW, "datasets": {name: {}}})
    (tree / "data" / name).mkdir(parents=True)
    for place in STAGES["data"]["deps"][1:]:
        folder = tree / place if not place.endswith(".py") else (tree / place).parent
        folder.mkdir(parents=True, exist_ok=True)
        if place.endswith(".py"):
            (tree / place).write_text("")
    done = call(tree, "-m", "dvc", "repro", "--single-item", f"data@{name}")
    assert done.returncode != 0
    assert "fingerprint" in done.stdout  # its command was started: with the name as one word
    assert not (tree / "RAN").exists()


def test_no_other_name_comes_before_the_reader_of_our_settings() -> None:
    # Problems stand unquoted in a command that needs what earlier stages wrote, which read
    # params.yaml first, where a name is a slug or the end of it.
    named = {name for name, stage in STAGES.items() if "${item." in stage["cmd"]}
    assert named == {"measure"}
    assert "build/${profile}/export/${item.problem}" in STAGES["measure"]["deps"]


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("key", ["problems", "methods", "datasets"])
def test_the_reader_refuses_names_that_are_no_slugs(key: str, what: str) -> None:
    values = dict(RAW[key])
    values[NAMES[what]] = next(iter(values.values()))
    with pytest.raises(ConfigError):
        _read({**RAW, key: values})


HOSTILE_PLACES = [
    "x; touch RAN",
    "$(touch RAN)",
    "a b",
    "-x",
    "../params.yaml",
    "/etc/passwd",
    "a\nb",
]


@pytest.mark.parametrize("value", HOSTILE_PLACES)
def test_the_run_ends_before_dvc_where_a_place_is_more_than_one(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(run.subprocess, "run", lambda *words, **_: started.append(words))
    monkeypatch.setattr(run, "_fetch", lambda *_: started.append("fetch"))
    for key in ("params", "root", "profile"):
        folder = tmp_path / key
        folder.mkdir()
        (folder / "dvc.yaml").write_text("")
        (folder / "params.yaml").write_text(yaml.safe_dump({**RAW, key: value}))
        with pytest.raises(ConfigError, match=key):
            run.run("default", folder)
    assert not started


@pytest.mark.parametrize("root", ["data", "../../data", "/tmp", "./data", "../x/.."])
def test_the_root_only_leads_up(root: str) -> None:
    with pytest.raises(ConfigError, match="root"):
        _read({**RAW, "root": root})


@pytest.mark.parametrize("file", ["params.yaml", "reports/as-coded/params.yaml"])
def test_our_own_settings_are_read(file: str) -> None:
    assert str(config.load(ROOT / file).params) == file


def _read(raw: dict[str, Any]) -> config.Config:
    from pydantic import ValidationError

    try:
        return config.Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(str(error)) from error
