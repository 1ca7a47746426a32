"""Names in ONNX files: names of values and nothing else; no place, no note, no other domain."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from hostile import NAMES
from torch import nn

import tl1bench as tl

WRITTEN = {what: name for what, name in NAMES.items() if "." not in name}


def network(name: str) -> nn.Module:
    model = nn.Sequential()
    model.add_module(name, nn.Linear(3, 4))
    model.add_module("last", nn.Linear(4, 2))
    return model.eval()


@pytest.mark.parametrize("what", [w for w in WRITTEN if w != "no letters"])
def test_a_layers_name_is_a_name_in_the_file_and_nothing_else(what: str, tmp_path: Path) -> None:
    tl.export_onnx(network(NAMES[what]), torch.randn(2, 3), tmp_path / "net.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    assert f"{NAMES[what]}.weight" in {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        assert not tensor.external_data
        assert tensor.data_location == onnx.TensorProto.DEFAULT
        tensor.name = ""
    for node in model.graph.node:
        assert node.domain in ("", "ai.onnx")
        del node.input[:]
    assert not model.metadata_props
    assert NAMES[what].encode() not in model.SerializeToString()


def test_a_name_that_no_file_can_hold_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(tl.ExportError, match="rename its layer") as caught:
        tl.export_onnx(network(NAMES["no letters"]), torch.randn(2, 3), tmp_path / "net.onnx")
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []
