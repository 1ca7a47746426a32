"""A short params.yaml: filled in where DVC reads it, and nothing else is touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT

from tl1bench import config
from tl1bench.errors import ConfigError
from tl1bench.pipeline import completing, run

SHORT = """\
datasets: {digits: {}}
problems: {p: {dataset: digits, network: {name: mlp}}}
methods: {dense: {penalty: l2, lam: 1.0e-4}}
"""
ASKED = {"root", "params", "profile", "seeds", "select", "compact", "measure"}


def pipeline(root: Path, text: str, name: str = "params.yaml") -> Path:
    """Write a settings file into a checkout that holds nothing but a dvc.yaml; complete it."""
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / name).write_text(text)
    return completing.pipeline(root, Path(name), config.load(root / name))


def test_what_dvc_asks_for_is_what_is_filled_in() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    stages = yaml.safe_load(text)["stages"].values()
    of_stages = {name for stage in stages for entry in stage.get("params", ())
                 for names in entry.values() for name in names}  # fmt: skip
    asked = {name.split(".")[0] for name in (*re.findall(r"\$\{(\w+)\}", text), *of_stages)}
    assert asked - {"item"} == set(config.Config.model_fields) - completing._UNASKED


def test_a_key_that_is_there_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'p' is there twice, in lines 5 and 6; take one"):
        pipeline(
            tmp_path,
            SHORT.replace("problems: {p: {dataset: digits, network: {name: mlp}}}\n", "")
            + "seeds: [1]\nproblems:\n"
            + "  p: {dataset: digits, network: {name: mlp}}\n" * 2,
        )
    assert not (tmp_path / "reports").exists()


def test_missing_sections_are_added_at_the_end(tmp_path: Path) -> None:
    assert pipeline(tmp_path, SHORT) == Path("dvc.yaml")
    text = (tmp_path / "params.yaml").read_text()
    assert text.startswith(SHORT)
    assert set(yaml.safe_load(text)) == ASKED | {"datasets", "problems", "methods"}
    before = config.load(tmp_path / "params.yaml")
    assert before.model_dump() == config.Config(**yaml.safe_load(SHORT)).model_dump()
    assert pipeline(tmp_path, text) == Path("dvc.yaml")
    assert (tmp_path / "params.yaml").read_text() == text


def test_a_file_to_which_nothing_can_be_added_is_refused(tmp_path: Path) -> None:
    flow = yaml.safe_dump(yaml.safe_load(SHORT), default_flow_style=True, width=10**6)
    with pytest.raises(ConfigError, match=r"lacks .*seeds.* write each of its sections on lines"):
        pipeline(tmp_path, flow)
    assert (tmp_path / "params.yaml").read_text() == flow


IDLE = SHORT.replace("{digits: {}}", "{digits: {}, mnist: {}}")


def test_idle_data_beside_a_pipeline_that_would_ask_for_them_are_named(tmp_path: Path) -> None:
    # A second pipeline of the same profile would have the same outputs, which DVC refuses.
    with pytest.raises(ConfigError, match=r"^params\.yaml: no problem uses mnist of .*take it out"):
        pipeline(tmp_path, IDLE)
    assert (tmp_path / "params.yaml").read_text() == IDLE


def test_a_file_elsewhere_gets_a_folder_of_its_own_without_idle_data(tmp_path: Path) -> None:
    text, name = IDLE, "mine.yaml"
    text = text.replace(
        "name: mlp}", "name: mlp}, budget: {epochs: 2, decay: {factor: 0.5, every: 9}}"
    )
    assert pipeline(tmp_path, text, name) == Path("reports/own/dvc.yaml")
    found = config.load(tmp_path / "reports/own/params.yaml")
    assert set(found.datasets) == {"digits"}
    assert (found.root, found.params) == (Path("../.."), Path("reports/own/params.yaml"))
    assert found.model_fields_set == set(config.Config.model_fields)
    whole = config.load(tmp_path / name)
    assert found.problems == whole.problems
    assert (tmp_path / "reports/own/dvc.yaml").read_text() == "stages: {}\n"
    assert (tmp_path / name).read_text() == text


def test_a_profile_gets_its_pipeline_when_it_is_first_run(tmp_path: Path) -> None:
    text = SHORT + "profile: own\nroot: ../..\nparams: reports/own/params.yaml\n"
    (tmp_path / "reports/own").mkdir(parents=True)
    found = pipeline(tmp_path, text, "reports/own/params.yaml")
    assert found == Path("reports/own/dvc.yaml")
    assert (tmp_path / found).read_bytes() == (tmp_path / "dvc.yaml").read_bytes()


@pytest.mark.parametrize("path", run.PROFILES.values(), ids=str)
def test_profiles_of_the_checkout_stay_as_they_are(path: Path) -> None:
    before = (ROOT / path).read_bytes()
    settings = config.load(ROOT / path)
    if (ROOT / path.with_name("dvc.yaml")).is_file():
        assert completing.pipeline(ROOT, path, settings) == path.with_name("dvc.yaml")
    assert completing.used(settings) == set(settings.datasets)
    assert (ROOT / path).read_bytes() == before
