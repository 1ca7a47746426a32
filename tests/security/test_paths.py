"""Names in paths: what is written lies where it was said, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from checkouts import ROOT
from hostile import NAMES, WAYS_OUT
from torch import nn

import tl1bench as tl
from tl1bench import cli, config, datasets, files, models, penalties
from tl1bench.errors import ConfigError, DataError

RAW = yaml.safe_load((ROOT / "params.yaml").read_text())


def load(folder: Path, **changed: object) -> config.Config:
    (folder / "params.yaml").write_text(yaml.safe_dump({**RAW, **changed}))
    return config.load(folder / "params.yaml")


@pytest.mark.parametrize("name", [*WAYS_OUT, "", ".", "x" * 101, "x.y", "X"])
def test_settings_name_no_folder_that_is_more_than_a_slug(name: str, tmp_path: Path) -> None:
    for key in ("problems", "methods", "datasets"):
        first = next(iter(RAW[key].values()))
        with pytest.raises(ConfigError, match=key):
            load(tmp_path, **{key: {**RAW[key], name: first}})
    with pytest.raises(ConfigError, match="profile"):
        load(tmp_path, profile=name)
    assert load(tmp_path, profile="x" * 100).build == Path("build") / ("x" * 100)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "data/other/x.npz", "data/digits/../../x.npz", "../data/digits/x.npz"]
)
def test_data_of_ones_own_lie_in_their_own_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"datasets\.digits\.path"):
        load(tmp_path, datasets={**RAW["datasets"], "digits": {"path": path}})


@pytest.mark.parametrize("name", WAYS_OUT)
def test_what_is_chosen_by_name_is_a_file_of_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no network"):
        models.build(name, (1, 8, 8), 10, seed=0)
    with pytest.raises(ConfigError, match="no classification network"):
        models.build(f"torchvision/{name}", (3, 64, 64), 10, seed=0)
    with pytest.raises(ConfigError, match="no penalty"):
        penalties.load(name, lam=1.0)
    with pytest.raises((ConfigError, DataError)):
        datasets.fetch(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", NAMES)
def test_a_file_is_written_under_any_name_and_nothing_beside_it(what: str, tmp_path: Path) -> None:
    folder = tmp_path / NAMES[what].replace("/", "_")
    files.write_text(folder / NAMES[what].replace("/", "_"), "x")
    (file,) = folder.iterdir()
    assert (file.name, file.read_text()) == (folder.name, "x")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("letter", ["x", "网"])
def test_a_file_may_have_the_longest_name_that_there_is(letter: str, tmp_path: Path) -> None:
    target = tmp_path / (letter * (255 // len(letter.encode())))
    files.write_text(target, "x")
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("pt2") / "good.pt2"
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.randn(2, 3),), dynamic_shapes=shapes), path)
    return path.read_bytes()


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr("sys.argv", ["tl1bench", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize("what", NAMES)
def test_a_network_is_compacted_from_and_to_a_file_of_any_name(
    what: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = NAMES[what].replace("/", "_")
    Path(f"{name}.pt2").write_bytes(program)
    assert called(monkeypatch, "compact", "-o", f"{name}.onnx", "--", f"{name}.pt2") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((f"{name}.onnx", f"{name}.pt2"))
    y = torch.zeros(2, dtype=torch.long)
    assert 0 <= tl.accuracy(f"{name}.onnx", torch.randn(2, 3), y) <= 1


@pytest.mark.parametrize("target", ["file/x.onnx", "folder.onnx", "x.onnx/../file/y.onnx"])
def test_a_place_that_cannot_be_written_ends_in_one_sentence(
    target: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("good.pt2").write_bytes(program)
    Path("file").write_text("")
    Path("folder.onnx").mkdir()
    assert called(monkeypatch, "export", "good.pt2", "-o", target) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.onnx", "good.pt2"]
