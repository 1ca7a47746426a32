import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from checkouts import ROOT
from torch import nn

from tl1bench import cli, measuring, models
from tl1bench.cli import _repeating, _standalone
from tl1bench.compaction import load_compacted
from tl1bench.errors import CompactionError, ConfigError, DataError, ExportError
from tl1bench.measuring.graphs import read_graph
from tl1bench.results import repeats
from tl1bench.tuning import trials


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a shell does."""
    command = [sys.executable, "-m", "tl1bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., SimpleNamespace]:
    """Run a command line in this process, which has its libraries: its status, and what it said."""

    def run(*arguments: str, cwd: Path = ROOT) -> SimpleNamespace:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["tl1bench", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=said.out, stderr=said.err)

    return run


LIGHT = ("tl1bench", "tl1bench.cli", "tl1bench.config", "tl1bench.results", "tl1bench.measuring",
         "tl1bench.report.page", "tl1bench.datasets")  # fmt: skip


def test_what_must_be_light_does_not_import_torch() -> None:
    code = f"""
import importlib, sys
for name in {LIGHT}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_is_quick_and_shows_every_command() -> None:
    seconds = []
    for _ in range(3):
        before = os.times()
        done = started("--help")
        after = os.times()
        # CPU time: other tests may run beside this one.
        seconds.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    assert done.returncode == 0
    names = ("data", "train", "compact", "export", "measure", "report", "run", "list")
    assert all(name in done.stdout for name in names)
    assert min(seconds) < 0.4


@pytest.mark.parametrize(
    "command",
    ["check", "data", "list", "predict", "train", "compact", "export", "measure", "report", "run"],
)
def test_every_command_has_an_example(command: str, call) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert f"Example: tl1bench {command}" in " ".join(done.stdout.split())


def test_list_shows_problems_methods_data_and_profiles(call) -> None:
    shown = call("list").stdout
    for word in (
        "mnist-lenet5",
        "integrated_tl1",
        "fashion-mnist",
        "smoke",
        "paper",
        "proximal_sgd",
    ):
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nonesuch", "l1"), "There is no problem 'nonesuch'"),
        (("train", "digits-mlp", "nonesuch"), "There is no method 'nonesuch'"),
        (("list", "--params", "nowhere.yaml"), "Cannot read nowhere.yaml"),
        (("measure",), "Name a problem by --problem"),
        (("compact", "nowhere.pt2", "-o", "small.onnx"), "nowhere.pt2 is not there"),
        (("compact", "nowhere.pt2", "-o", "small.txt"), "must end in .onnx or .pt2"),
        (("measure", "nowhere.onnx"), "nowhere.onnx"),
        (("measure", "--sessions", "2", "one.onnx"), "--sessions takes two files (or none), not 1"),
        (
            ("measure", "--sessions", "2", "--control", "nowhere.onnx"),
            "nowhere.onnx does not exist",
        ),
        (("run", "--profile", "nonesuch"), "choose one of smoke, default, paper"),
        (("data", "nonesuch"), "there is no data set 'nonesuch'"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], said: str, call
) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("tl1bench: ")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_network_trained_elsewhere_is_compacted_exported_and_measured(
    tmp_path: Path, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "measure", partial(measuring.measure, processes=1))
    model = models.build("mlp", (1, 8, 8), 10, seed=0, hidden=[32, 16]).eval()
    with torch.no_grad():
        model[3].weight[:, ::2] = 0
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(4, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    exported = call("export", "model.pt2", "-o", "dense.onnx", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    page = ("--report", "report.html")
    compacted = call("compact", "model.pt2", "-o", "small.onnx", *page, cwd=tmp_path)
    assert compacted.returncode == 0, compacted.stderr
    assert "32 → 16" in compacted.stdout
    assert (tmp_path / "small.onnx").stat().st_size < (tmp_path / "dense.onnx").stat().st_size
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "model.pt2, compacted" in html
    assert "32 → 16" in html
    weights = (64 * 32 + 32 * 16 + 16 * 10, 64 * 16 + 16 * 16 + 16 * 10)
    assert f"{weights[0]:,} → {weights[1]:,}" in html
    assert f"{100 * weights[1] / weights[0]:.1f} %" in html
    size = (tmp_path / "small.onnx").stat().st_size
    assert f"→ {size / 1024:,.1f} KiB" in html
    assert "95 % interval" in html
    found = re.search(r"outputs for 32 examples.* differ by (\S+) at most, in float64", html)
    assert found is not None
    assert float(found[1]) < 1e-12
    # One file: nothing is fetched when it opens.
    assert not {"src=", "<script", "http://", "https://", "@import"} & set(re.findall(
        "src=|<script|https?://|@import", html))  # fmt: skip
    measured = call("measure", "dense.onnx", "small.onnx", cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert "ratio_p50" in measured.stdout


def save(network: nn.Module, batch: int, path: Path) -> None:
    torch.export.save(torch.export.export(network, (torch.rand(batch, 1, 8, 8),)), path)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_network_exported_for_one_batch_size_gets_a_free_one(tmp_path: Path, batch: int) -> None:
    network = models.build("resnet", (1, 8, 8), 10, seed=0).eval()
    save(network, batch, tmp_path / "model.pt2")
    _standalone.export_file(tmp_path / "model.pt2", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    x = torch.rand(9, 1, 8, 8)
    found = session.run(None, {"x": x.numpy()})[0]
    np.testing.assert_allclose(found, network(x).detach().numpy(), atol=1e-5)


def test_a_network_that_computed_with_its_batch_size_is_refused(tmp_path: Path) -> None:
    class Sized(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(x.shape[0], 8, 8).sum(2).reshape(x.shape[0] * 8)

    save(Sized(), 4, tmp_path / "model.pt2")
    with pytest.raises(ConfigError, match="exported for batches of 4 alone: export it with"):
        _standalone.compact_file(tmp_path / "model.pt2", tmp_path / "small.onnx")


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1), nn.Dropout(0.5)])
def test_a_network_exported_in_train_mode_is_refused(tmp_path: Path, layer: nn.Module) -> None:
    save(nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 2)).train(), 4, tmp_path / "model.pt2")
    said = "exported in train mode .*: export it again after model.eval"
    with pytest.raises(CompactionError, match=said):
        _standalone.compact_file(tmp_path / "model.pt2", tmp_path / "small.onnx")
    with pytest.raises(ExportError, match=said):
        _standalone.export_file(tmp_path / "model.pt2", tmp_path / "small.onnx")
    assert [f.name for f in tmp_path.iterdir()] == ["model.pt2"]


def test_a_norm_without_running_statistics_has_no_mode(tmp_path: Path) -> None:
    layer = nn.InstanceNorm2d(1)
    save(nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 2)).train(), 4, tmp_path / "model.pt2")
    _standalone.export_file(tmp_path / "model.pt2", tmp_path / "model.onnx")


def test_sessions_without_files_compare_lenet5_with_its_compact_self(tmp_path: Path) -> None:
    dense, small = _repeating.example_pair(tmp_path)
    shapes = [list(t.dims) for t in onnx.load(small).graph.initializer if len(t.dims) > 1]
    assert read_graph(dense).conv_channels == "20-50"
    assert sorted(shapes) == [[5, 1, 5, 5], [10, 5, 5, 5], [10, 16], [16, 76]]


def test_sessions_are_saved_with_their_figure_and_added_to(tmp_path: Path, monkeypatch) -> None:
    def measurer(_, sessions, seed, **options):
        asked.append((sessions, seed, options))
        rows = {name: [1.0] * sessions for name in repeats.COLUMNS[1:4]}
        rows |= {"session": range(seed, seed + sessions), "covers_one": True, "trusted": True}
        return pd.DataFrame(rows)

    asked: list = []
    monkeypatch.setattr("tl1bench.measuring.repeatability", measurer)
    settings = {"batch": 1, "threads": 1, "provider": "cpu", "mode": "quick"}
    for sessions in (2, 3):
        files = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
        _repeating.measure_sessions(files, sessions, False, tmp_path / "there", settings)
    assert asked == [(2, 0, settings), (3, 2, settings)]
    assert list(repeats.read(tmp_path / "there/pair.csv")["session"]) == [0, 1, 2, 3, 4]
    assert (tmp_path / "there/repeatability.png").stat().st_size > 10_000


def test_tuning_on_request_keeps_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = models.build("resnet", (1, 8, 8), 10, seed=0, widths=[8]).eval()
    with torch.no_grad():
        network[3].conv1.weight[2:5] = 0
    save(network, 4, tmp_path / "model.pt2")
    monkeypatch.setattr(
        trials,
        "_measured",
        lambda paths, batch, threads: [trials.Ratio(0.9, 0.8, 0.95)] * len(paths),
    )
    with pytest.raises(ConfigError, match="give --tune or --align, not both"):
        _standalone.compact_file(
            tmp_path / "model.pt2", tmp_path / "small.pt2", tuning=True, align=8
        )
    _standalone.compact_file(tmp_path / "model.pt2", tmp_path / "small.pt2", align=8)
    assert "5 used, 3 zeros to align the width" in capsys.readouterr().out
    _standalone.compact_file(tmp_path / "model.pt2", tmp_path / "small.pt2", tuning=True)
    said = capsys.readouterr().out
    assert "switched on: 3.conv1 8 wide" in said
    assert "zeros to align the width" in said
    small = load_compacted(tmp_path / "small.pt2")
    assert small.get_parameter("3.conv1.weight").shape[0] == 8
    x = torch.rand(9, 1, 8, 8)
    torch.testing.assert_close(small(x), network(x), atol=1e-5, rtol=1e-5)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path, call) -> None:
    (tmp_path / "model.pt2").write_text("nothing")
    done = call("compact", "model.pt2", "-o", "small.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a .pt2 file" in done.stderr
    assert not (tmp_path / "small.onnx").exists()


def test_errors_of_ours_end_the_process_with_status_2() -> None:
    done = started("run", "--profile", "nonesuch")
    assert done.returncode == 2
    assert done.stderr.startswith("tl1bench: There is no profile")
    assert done.stderr.count("\n") == 1


def data(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)
    return path


def test_compacting_is_checked_on_data_of_ones_own(tmp_path: Path, call) -> None:
    network = models.build("mlp", (1, 8, 8), 10, seed=0, hidden=[16]).eval()
    with torch.no_grad():
        network[1].weight[3:9] = 0
    save(network, 4, tmp_path / "model.pt2")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 1, 8, 8)).astype(np.float32), draw.integers(0, 10, 40)
    given = data(tmp_path / "mine.npz", x=x, y=y)
    files = [str(tmp_path / "model.pt2"), "-o", str(tmp_path / "small.onnx")]
    done = call("compact", *files, "--data", str(given))
    assert done.returncode == 0, done.stderr
    assert "outputs for 40 examples" in done.stdout
    assert "0 predictions changed" in done.stdout
    with torch.no_grad():
        right = float((network(torch.tensor(x)).argmax(1) == torch.tensor(y)).double().mean())
    assert f"Accuracy: {100 * right:.2f} % before, {100 * right:.2f} % after." in done.stdout


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((3, 8, 8))}, "the network takes numbers (examples, 1, 8, 8)"),
        ({"x": np.zeros((3, 1, 8, 8)), "y": np.zeros(2, int)}, "one class number for each of 3"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "holds a, b: name the inputs x"),
        ({"x": np.array([{}], dtype=object)}, "no .npz file of plain arrays"),
    ],
)
def test_data_that_do_not_fit_are_refused_and_nothing_is_written(
    arrays: dict, said: str, tmp_path: Path
) -> None:
    save(models.build("mlp", (1, 8, 8), 10, seed=0, hidden=[4]).eval(), 4, tmp_path / "model.pt2")
    given = data(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError) as refused:
        _standalone.compact_file(tmp_path / "model.pt2", tmp_path / "small.onnx", data=given)
    assert said in str(refused.value)
    assert not (tmp_path / "small.onnx").exists()
