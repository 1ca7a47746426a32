"""`tl1bench predict`: an ONNX file that says itself how a table becomes its inputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tl1bench import datasets
from tl1bench.cli import _predicting
from tl1bench.errors import ConfigError, DataError
from tl1bench.export import export_onnx

ROWS = [(f"{i / 8:.3f}", "?" if i % 9 == 0 else str(i % 13), ("red", "blue")[i % 2], "xyz"[i % 3])
        for i in range(90)]  # fmt: skip


def text(rows: list[tuple[str, ...]], header: str) -> str:
    return header + "\n" + "".join(";".join(row) + "\n" for row in rows)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, nn.Module, datasets.Dataset]:
    """Return an exported network of random weights, itself, and the data it is for."""
    (tmp_path / "own.csv").write_text(text(ROWS, "a;b;colour;class"))
    data = datasets.read_user("own", tmp_path / "own.csv", tmp_path / "data")
    whole, _ = datasets.prepare(data, datasets.split(data, 12, seed=0))
    assert whole.preprocessing is not None
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(*whole.input_shape, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    carried = {datasets.METADATA: json.dumps(whole.preprocessing.to_json())}
    x = torch.from_numpy(whole.x_train[:4])
    export_onnx(network, x, tmp_path / "model.onnx", metadata=carried)
    return tmp_path / "model.onnx", network, whole


def test_each_row_gets_the_class_that_the_network_gives_it(
    model: tuple[Path, nn.Module, datasets.Dataset],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, network, whole = model
    # Rows 4, 9 … of each class are the test part; other order of columns, one more, and the label.
    test = [row for kind in "xyz" for row in [r for r in ROWS if r[3] == kind][4::5]]
    mixed = [(row[3], "?", row[2], row[1], row[0]) for row in test]
    (tmp_path / "new.csv").write_text(text(mixed, "class;more;colour;b;a"))
    _predicting.predict(path, tmp_path / "new.csv", tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv")
    order = np.argsort(whole.y_test, kind="stable")
    with torch.no_grad():
        shares = network(torch.from_numpy(whole.x_test[order])).softmax(1).numpy()
    assert found["predicted"].tolist() == [whole.labels[i] for i in shares.argmax(1)]
    assert found["probability"].to_numpy() == pytest.approx(shares.max(1), abs=1e-4)
    wrong = 100 * float((shares.argmax(1) != whole.y_test[order]).mean())
    assert f"error on the {len(test)} labelled rows: {wrong:.2f} %" in capsys.readouterr().err


def test_without_an_output_the_classes_are_printed(
    model: tuple[Path, nn.Module, datasets.Dataset],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "new.csv").write_text("a;b;colour\n1.5;2;green\n2.5;;red\n")
    _predicting.predict(model[0], tmp_path / "new.csv", None)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "predicted,probability"
    assert len(shown.out.splitlines()) == 3
    assert shown.err == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a;colour\n1;red\n", "it lacks the columns b, which this network was trained on"),
        ("a;b;colour\n1;2;red\n1;two;red\n", "column 'b' holds numbers, but 'two' in line 3"),
        ("", "no readable CSV"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    content: str, said: str, model: tuple[Path, nn.Module, datasets.Dataset], tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        _predicting.predict(model[0], tmp_path / "new.csv", None)
    with pytest.raises(DataError, match=r"cannot read \S+none\.csv"):
        _predicting.predict(model[0], tmp_path / "none.csv", None)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "does not say how a table becomes its inputs"),
        ("no JSON", "holds a preprocessing that is no JSON"),
        ("[]", "holds a preprocessing that is no JSON"),
    ],
)
def test_other_networks_are_refused(metadata: str | None, said: str, tmp_path: Path) -> None:
    carried = {} if metadata is None else {datasets.METADATA: metadata}
    export_onnx(nn.Linear(3, 2), torch.zeros(2, 3), tmp_path / "other.onnx", metadata=carried)
    with pytest.raises(ConfigError, match=said):
        _predicting.predict(tmp_path / "other.onnx", tmp_path / "new.csv", None)
    with pytest.raises(ConfigError, match="is not there"):
        _predicting.predict(tmp_path / "none.onnx", tmp_path / "new.csv", None)


def test_a_network_of_numbers_gives_numbers_in_the_tables_own_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(a, b, colour, f"{1000 + 3 * float(a):.4f}") for a, b, colour, _ in ROWS]
    (tmp_path / "own.csv").write_text(text(rows, "a;b;colour;price"))
    options = datasets.Options(task="regression")
    data = datasets.read_user("own", tmp_path / "own.csv", tmp_path / "data", options=options)
    whole, _ = datasets.prepare(data, datasets.split(data, 12, seed=0))
    assert whole.preprocessing is not None
    assert whole.target is not None
    network = nn.Linear(*whole.input_shape, 1)
    names = [output.name for output in whole.preprocessing.outputs]
    with torch.no_grad():
        # price = 1000 + 3 a, and a is standardised: what the network has to find.
        a = whole.preprocessing.outputs[names.index("a")]
        network.weight.zero_()[0, names.index("a")] = 3 * a.scale / whole.target.scale
        network.bias.fill_((1000 + 3 * a.mean - whole.target.mean) / whole.target.scale)
    carried = {datasets.METADATA: json.dumps(whole.preprocessing.to_json())}
    x = torch.from_numpy(whole.x_train[:4])
    export_onnx(network, x, tmp_path / "model.onnx", metadata=carried)
    _predicting.predict(tmp_path / "model.onnx", tmp_path / "own.csv", tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found) == ["predicted"]
    assert found["predicted"].to_numpy() == pytest.approx([float(r[3]) for r in rows], abs=1e-3)
    said = capsys.readouterr().err
    assert "error on the 90 labelled rows: RMSE [own unit] " in said
    assert said.endswith("R² 1\n")
    (tmp_path / "new.csv").write_text("a;b;colour\n2;2;green\n")
    _predicting.predict(tmp_path / "model.onnx", tmp_path / "new.csv", None)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["predicted", "1006.0"]
    assert not shown.err
