"""DVC's dependencies against the imports: nothing missing, nothing foreign."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from checkouts import ALWAYS_RUN, ROOT

from tl1bench import config, plugins
from tl1bench.pipeline import provenance
from tl1bench.pipeline.stages import sources

PACKAGE = Path(plugins.__file__).parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What reads params.yaml, finds, stores, says and fails computes nothing; values of params.yaml are
# dependencies of their own. The sources stage alone writes down what two of them make: the values,
# defaults and all, and the digests of code.
COMPUTES_NOTHING = frozenset(
    {"config", "errors.py", "files.py", "plugins.py", "progress.py", "pipeline/__init__.py",
     "pipeline/stages/__init__.py", "pipeline/store.py", "pipeline/processes.py",
     "pipeline/devices.py", "pipeline/provenance.py"}
)  # fmt: skip
WRITTEN_DOWN = frozenset({"config", "pipeline/provenance.py"})


def place(file: Path) -> str:
    """Return the room of a file, or the file itself at the top and in the pipeline."""
    relative = file.relative_to(PACKAGE)
    whole = relative.parts[0] == "pipeline" or len(relative.parts) == 1
    return relative.as_posix() if whole else relative.parts[0]


def imported(stage: str) -> set[str]:
    """Return the rooms that a stage computes with."""
    # The sources stage reads the files that training is made of, without importing all of them.
    more = (*sources._LISTS, *sources._PATHS) if stage == "sources" else ()
    closure = provenance.closure([PACKAGE / f"pipeline/stages/{stage}.py", *more])
    nothing = COMPUTES_NOTHING - WRITTEN_DOWN if stage == "sources" else COMPUTES_NOTHING
    return {place(file) for file in closure} - nothing


def declared(stage: str) -> set[str]:
    """Return the rooms and files that dvc.yaml names."""
    prefix = "tl1bench/"
    deps = STAGES[stage].get("deps", ())
    return {d.removeprefix(prefix) for d in deps if d.startswith(prefix)}


# What training is made of stands in the files of the sources stage, so that a comment or another
# method retrains nothing. What is always run needs no dependencies.
@pytest.mark.parametrize("stage", [s for s in STAGES if s not in {"start", "train", *ALWAYS_RUN}])
def test_a_stage_depends_on_the_rooms_that_it_imports_and_no_other(stage: str) -> None:
    assert declared(stage) == imported(stage)


def test_training_depends_on_what_the_sources_stage_wrote_alone() -> None:
    assert STAGES["start"]["deps"] == [
        "build/${profile}/sources/problems",
        "build/${profile}/sources/methods/dense.json",
        "build/${profile}/sources/values/problems",
        "build/${profile}/sources/values/methods/dense.json",
    ]
    assert STAGES["train"]["deps"] == ["build/${profile}/sources", "build/${profile}/start"]


def test_a_digest_of_code_is_written_anew_when_any_file_in_it_changes() -> None:
    chosen = config.Config.model_validate(
        {
            "datasets": {"digits": {}},
            "problems": {"p": {"dataset": "digits", "network": {"name": "mlp"}}},
            "methods": {"dense": {"penalty": "l2"}},
        }
    )
    made = sources._of_method(chosen, "dense")
    places = {place(ROOT / file) for code in ("lists", "paths") for file in made[code]}
    assert places >= {"penalties", "training", "optimizers", "pipeline/objects.py"}
    assert places - {"pipeline/__init__.py"} <= declared("sources")
    # What reads, selects and measures decides no weight: values are part of a run by themselves.
    assert not places & {"config", "results", "measuring", "metrics"}


def test_dependencies_are_folders_but_for_the_pipelines_own_files() -> None:
    for stage in STAGES:
        for name in declared(stage):
            assert (PACKAGE / name).is_dir() or name.startswith("pipeline/"), name


def test_only_what_says_where_it_runs_is_always_run() -> None:
    assert {name for name, stage in STAGES.items() if stage.get("always_changed")} == ALWAYS_RUN


def test_measuring_depends_on_the_machine() -> None:
    (written,) = STAGES["machine"]["outs"]
    readers = {name for name, stage in STAGES.items() if written in stage.get("deps", ())}
    assert readers == {"measure"}


def test_a_forgotten_dependency_would_be_noticed() -> None:
    assert "runtime" in imported("measure")
    assert "report" not in imported("measure")
    assert imported("report") >= {"figures", "report", "results"}
