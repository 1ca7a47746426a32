"""The whole pipeline in a temporary copy, and the gate on what is committed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT, call, environment, repro, stages_run

from tl1bench import results
from tl1bench.errors import Tl1benchError
from tl1bench.pipeline import run


def test_the_smoke_profile_leaves_table_figures_and_page(smoke: Path) -> None:
    table = results.read(smoke / "reports/smoke/runs.csv")
    counts = table.groupby(["problem", "method"])["step"].count()
    # One walks paths, the other trains each λ by itself and leaves magnitude pruning out.
    assert set(counts["digits-resnet"].items()) == {("dense", 2), ("integrated_tl1", 2)}
    assert set(counts["digits-mlp"].index) == {"dense", "integrated_tl1", "magnitude"}
    assert counts["digits-mlp", "integrated_tl1"] > 4
    assert table.groupby(["problem", "method"])["selected"].any().all()
    assert (table.loc[table["selected"], "latency_compact_us_p50"] > 0).all()
    path = table[(table["problem"] == "digits-mlp") & (table["method"] == "integrated_tl1")]
    for _, own in path.sort_values("step").groupby("seed"):
        assert own["nonzero_weights"].is_monotonic_decreasing
        assert own["lam"].is_monotonic_increasing
    hero = table[table["method"] == "integrated_tl1"]
    assert (hero["nonzero_weights"] < hero["weights_dense"]).all()
    assert (hero["weights_compact"] <= hero["weights_dense"]).all()
    figures = smoke / "reports/smoke/figures"
    assert len(list(figures.glob("*.png"))) == len(list(figures.glob("*.svg"))) >= 6
    assert {p.suffix for p in (smoke / "reports/smoke/tables").iterdir()} == {".csv", ".md", ".tex"}
    assert "digits-mlp" in (smoke / "reports/index.html").read_text()


def test_a_second_run_does_nothing_and_is_quick(smoke: Path) -> None:
    began = time.perf_counter()
    assert repro(smoke) == set()
    assert time.perf_counter() - began < 10


def test_a_second_run_finds_nothing_changed_but_what_always_runs(smoke: Path) -> None:
    done = call(smoke, "-m", "dvc", "status")
    assert done.returncode == 0, done.stderr
    stages = [line for line in done.stdout.splitlines() if line and not line[0].isspace()]
    assert stages == ["machine:"], done.stdout


def test_results_of_another_machine_are_measured_anew_and_nothing_else_is(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    # What a clone of another machine's results is: that machine's lock and timings.
    lock = (tree / "dvc.lock").read_text()
    stage = yaml.safe_load(lock)["stages"]["machine"]
    foreign = lock.replace(stage["outs"][0]["md5"], "f" * 32)
    assert foreign.count("f" * 32) == 1 + len(list((tree / "reports/smoke/measure").glob("*.json")))
    (tree / "dvc.lock").write_text(foreign)
    (tree / "build/smoke/machine.json").unlink()
    timed = {p: p.read_bytes() for p in (tree / "reports/smoke/timings").iterdir()}
    measures = {f"measure@{file.stem}" for file in (tree / "reports/smoke/measure").iterdir()}
    assert repro(tree) == {*measures, "collect", "report"}
    assert all(p.read_bytes() != before for p, before in timed.items())
    assert "f" * 32 not in (tree / "dvc.lock").read_text()
    assert repro(tree) == set()


def test_metrics_and_plots_can_be_shown(smoke: Path, tmp_path: Path) -> None:
    metrics = call(smoke, "-m", "dvc", "metrics", "show")
    assert metrics.returncode == 0, metrics.stderr
    assert "digits-mlp" in metrics.stdout
    plots = call(smoke, "-m", "dvc", "plots", "show", "--out", str(tmp_path))
    assert plots.returncode == 0, plots.stderr
    assert (tmp_path / "index.html").is_file()


def test_a_comment_in_the_training_loop_and_a_new_setting_of_measuring_train_nothing(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    with (tree / "tl1bench/training/loop.py").open("a") as stream:
        stream.write("# a comment\n")
    reader = tree / "tl1bench/config/settings.py"
    text = reader.read_text()
    reader.write_text(
        text.replace("    processes: int", "    pause: float = 0\n    processes: int")
    )
    assert reader.read_text() != text
    # The stages that import the room look at what they have, and keep it.
    pieces = {p: p.stat().st_mtime_ns for p in (tree / ".work").glob("??/*/*.json")}
    assert repro(tree) == {"sources", "compact", "export"}
    assert {p: p.stat().st_mtime_ns for p in (tree / ".work").glob("??/*/*.json")} == pieces


def test_a_new_figure_runs_the_report_alone(smoke: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    figure = (tree / "tl1bench/figures/architecture.py").read_text()
    (tree / "tl1bench/figures/architecture_again.py").write_text(figure)
    assert repro(tree) == {"report"}
    assert (tree / "reports/smoke/figures/architecture_again.svg").is_file()


def test_a_killed_cell_keeps_its_finished_runs_and_ends_the_same(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    cell = tree / "build/smoke/train/digits-resnet/integrated_tl1"
    before = {p.parent.name: p.read_bytes() for p in cell.glob("*/weights.safetensors")}
    pieces = sorted((tree / ".work").glob("??/*/run.json"))
    lost = next(
        p
        for p in pieces
        if '"integrated_tl1"' in p.read_text() and "digits-resnet" in p.read_text()
    )
    shutil.rmtree(lost.parent)
    shutil.rmtree(cell)
    kept = {p: p.stat().st_mtime_ns for p in (tree / ".work").glob("??/*/run.json")}
    done = call(tree, "-m", "tl1bench", "train", "digits-resnet", "integrated_tl1")
    assert done.returncode == 0, done.stderr
    assert {p.parent.name: p.read_bytes() for p in cell.glob("*/weights.safetensors")} == before
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in kept.items())
    assert lost.is_file()


def test_a_killed_path_goes_on_at_its_last_step_and_ends_the_same(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    cell = tree / "build/smoke/train/digits-mlp/integrated_tl1"
    before = {p.parent.name: p.read_bytes() for p in cell.glob("*/weights.safetensors")}
    for piece in {p.parents[1] for p in (tree / ".work").glob("??/*/step-*/run.json")}:
        if any('"integrated_tl1"' in p.read_text() for p in piece.glob("*/run.json")):
            shutil.rmtree(piece)
    shutil.rmtree(cell)
    command = [sys.executable, "-m", "tl1bench", "train", "digits-mlp", "integrated_tl1"]
    walking = subprocess.Popen(
        command, cwd=tree, env=environment(tree), stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not list((tree / ".work/paths").glob("*/step-002")) and walking.poll() is None:
        time.sleep(0.02)
    os.killpg(walking.pid, signal.SIGKILL)
    walking.wait()
    assert not cell.exists()
    done = call(tree, "-m", "tl1bench", "train", "digits-mlp", "integrated_tl1")
    assert done.returncode == 0, done.stderr
    assert {p.parent.name: p.read_bytes() for p in cell.glob("*/weights.safetensors")} == before
    assert not list((tree / ".work/paths").glob("*"))


def test_a_method_whose_package_is_missing_is_left_out_with_one_sentence(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    params = yaml.safe_load((tree / "params.yaml").read_text())
    params["methods"]["torch_pruning"] = {}
    (tree / "params.yaml").write_text(yaml.safe_dump(params))
    wanted = tree / "tl1bench/methods/torch_pruning.py"
    wanted.write_text(wanted.read_text().replace('optional("torch_pruning"', 'optional("no_such"'))
    assert call(tree, "-m", "tl1bench", "sources").returncode == 0
    done = call(tree, "-m", "tl1bench", "train", "digits-mlp", "torch_pruning")
    assert done.returncode == 0, done.stderr
    assert "digits-mlp/torch_pruning is left out" in done.stderr
    assert "tl1bench[rivals]" in done.stderr
    (said,) = (tree / "build/smoke/train/digits-mlp/torch_pruning").iterdir()
    assert "tl1bench[rivals]" in said.read_text()


def test_a_bad_hyper_parameter_stops_the_pipeline_before_it_trains(
    smoke: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(smoke, tree)
    params = yaml.safe_load((tree / "params.yaml").read_text())
    params["methods"]["mcp"] = {"lam": [1e-3], "hyper": {"gamma": -1}}
    (tree / "params.yaml").write_text(yaml.safe_dump(params))
    done = call(tree, "-m", "dvc", "repro")
    assert done.returncode != 0
    assert "methods.mcp: " in done.stdout + done.stderr
    assert "gamma is -1" in done.stdout + done.stderr
    assert stages_run(done.stdout) == {"sources"}
    assert "Traceback" not in done.stdout + done.stderr


def test_all_pipelines_are_one_file() -> None:
    copies = sorted(ROOT.glob("reports/*/dvc.yaml"))
    # A copy without results would make `dvc metrics show` and `dvc plots show` complain.
    for name in ("metrics.json", "fronts.csv"):
        assert all(file.with_name(name).is_file() for file in copies)
    assert {file.read_bytes() for file in copies} <= {(ROOT / "dvc.yaml").read_bytes()}


def test_every_locked_pipeline_is_up_to_date(tmp_path: Path) -> None:
    """What is committed was made by this code: DVC would run nothing, and every result is there."""
    every = (ROOT / "dvc.yaml", *ROOT.glob("reports/*/dvc.yaml"))
    locked = [p for p in every if p.with_suffix(".lock").is_file()]
    assert ROOT / "dvc.yaml" in locked
    tree = tmp_path / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    for file in locked:
        relative = str(file.relative_to(ROOT))
        done = call(tree, "-m", "dvc", "repro", "--dry", "--allow-missing", relative)
        assert done.returncode == 0, done.stdout + done.stderr
        assert stages_run(done.stdout) == set()
        lock = yaml.safe_load((tree / relative).with_suffix(".lock").read_text())
        kept = [
            o
            for s in lock["stages"].values()
            for o in s.get("outs", [])
            if o["path"].startswith("reports/")
        ]
        assert kept
        for out in kept:
            assert (tree / out["path"]).exists(), f"{out['path']} is not committed"


def test_unknown_profiles_and_places_without_a_pipeline_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Tl1benchError, match="choose one of smoke, default, paper, as-coded"):
        run.run("nonesuch", ROOT)
    with pytest.raises(Tl1benchError, match="change into a checkout"):
        run.run("default", tmp_path)
