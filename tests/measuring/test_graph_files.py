"""What is read from ONNX files without running them."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper
from onnx_graphs import linear, save

from tl1bench.errors import MeasurementError
from tl1bench.measuring.graphs import count_convolutions, read_graph


def test_convolutions_are_counted_by_layout(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], domain="com.microsoft.nchwc"),
        helper.make_node("FusedConv", ["a", "w"], ["b"], domain="com.microsoft"),
        helper.make_node("ReorderOutput", ["b"], ["c"], domain="com.microsoft.nchwc"),
        helper.make_node("Conv", ["c", "w"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"w": [0]}, {"x": ["n"]}, {"y": ["n"]})
    assert count_convolutions(path) == (3, 1)


def test_weights_in_a_second_file_count(tmp_path):
    path = linear(tmp_path / "m.onnx", width=2000)
    inside = read_graph(path).file_bytes
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="m.data", size_threshold=0
    )
    files = path.stat().st_size + (tmp_path / "m.data").stat().st_size
    assert read_graph(path).file_bytes == files > inside - 100
    (tmp_path / "m.data").unlink()
    with pytest.raises(MeasurementError, match=r"keeps weights in .*m\.data, which does not exist"):
        read_graph(path)
